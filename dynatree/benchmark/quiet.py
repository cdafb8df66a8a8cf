"""A quiet machine for a timing."""

import gc
from contextlib import contextmanager

import torch


@contextmanager
def quiet(device: torch.device):
    """Exclude garbage collection and pending work of earlier requests from a timing."""
    gc.collect()
    gc.disable()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    try:
        yield
    finally:
        gc.enable()
