"""A quiet machine for a timing."""

import gc
from contextlib import contextmanager

import torch


@contextmanager
def quiet(device: torch.device):
    """No garbage collection inside a timing, and no work of an earlier request."""
    gc.collect()
    gc.disable()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    try:
        yield
    finally:
        gc.enable()
