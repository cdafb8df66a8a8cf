"""Exclusive use of models for a request: one thread at a time, in evaluation mode, and unchanged afterwards."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from dynatree.models.positions import unscaled_frequencies

_locks: WeakKeyDictionary[PreTrainedModel, threading.RLock] = WeakKeyDictionary()
_guard = threading.Lock()


@contextmanager
def exclusive(models: Iterable[PreTrainedModel]) -> Iterator[None]:
    """Use ``models`` in this thread alone and in evaluation mode within the block; restore them afterwards.

    A second thread waits until the block ends. The block may be entered again in the same thread, as a callback does.

    Args:
        models: target and draft.
    """
    ordered = sorted(models, key=id)  # one order for all threads, or two of them could wait for each other
    with ExitStack() as stack:
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))  # tensors without a device are those of the host
        for model in ordered:
            stack.enter_context(_lock(model))
        for model in ordered:
            stack.enter_context(_evaluating(model))
            stack.enter_context(unscaled_frequencies(model))
        yield


def _lock(model: PreTrainedModel) -> threading.RLock:
    with _guard:
        return _locks.setdefault(model, threading.RLock())


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Switch off the training mode of those modules that are in it."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
