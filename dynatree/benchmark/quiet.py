"""A quiet machine for a timing."""

import gc
from contextlib import contextmanager

import torch


@contextmanager
def settled_heap():
    """Leave the objects that exist now out of garbage collections, which otherwise take longer than short requests."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


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
