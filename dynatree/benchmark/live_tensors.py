"""Bytes of the tensors that are alive during a computation."""

import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel

from dynatree.models.forward import head_rows


def peak_bytes(model: PreTrainedModel, work: Callable[[], object]) -> int:
    """Return the maximum number of bytes that tensors created during ``work`` occupy at once.

    Tensors that were alive before do not count. On CUDA this is the allocator's peak.
    """
    live = LiveTensors({head_rows(model)}, model.device)
    with allocator_peak(model.device) as allocator, live:
        work()
    return allocator.get("peak", live.peak)


class LiveTensors(TorchDispatchMode):
    """A count of the bytes of all tensors created inside the context, each storage once, until they are freed.

    Args:
        vocabularies: a tensor with a dimension of one of these sizes counts as logits.
        device: tensors on devices of another type do not count.

    Attributes:
        peak: maximum number of bytes alive at once.
        parts: bytes of each kind at the peak: "logits", the kinds given to :meth:`mark`, and "other".
        largest_logits: maximum number of bytes of logits alive at once.
    """

    def __init__(self, vocabularies: set[int], device: torch.device):
        super().__init__()
        self.device_type = device.type
        self.vocabularies = vocabularies
        self.alive: dict[int, tuple[int, str]] = {}  # storage -> bytes, kind
        self.now: Counter[str] = Counter()
        self.peak = 0
        self.parts: Counter[str] = Counter()
        self.largest_logits = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        known = {storage_key(leaf) for leaf in _tensors((arguments, options))}
        for leaf in _tensors(result):
            if leaf.device.type == self.device_type and storage_key(leaf) not in known | self.alive.keys():
                self._add(leaf)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        kind = "logits" if self.vocabularies & set(tensor.shape) else "other"
        self.alive[storage_key(tensor)] = storage.nbytes(), kind
        weakref.finalize(storage, self._remove, storage_key(tensor))
        self.now[kind] += storage.nbytes()
        self.largest_logits = max(self.largest_logits, self.now["logits"])
        if self.now.total() >= self.peak:
            self.peak, self.parts = self.now.total(), self.now.copy()

    def _remove(self, key: int) -> None:
        size, kind = self.alive.pop(key, (0, "other"))
        self.now[kind] -= size

    def mark(self, tensor: torch.Tensor, kind: str) -> None:
        """Count an existing tensor as ``kind`` from now on."""
        key = storage_key(tensor)
        if key in self.alive:
            size, before = self.alive[key]
            self.alive[key] = size, kind
            self.now[before] -= size
            self.now[kind] += size


def _tensors(tree) -> list[torch.Tensor]:
    """Return the tensors of a nested structure."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def storage_key(tensor: torch.Tensor) -> int:
    """Return a key that tensors share exactly if they share their storage."""
    return tensor.untyped_storage()._cdata


@contextmanager
def allocator_peak(device: torch.device):
    """Measure the "peak" of CUDA's allocator above its level at the start; yield an empty dict on other devices."""
    measured: dict[str, int] = {}
    if device.type != "cuda":
        yield measured
        return
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    yield measured
    measured["peak"] = torch.cuda.max_memory_allocated(device) - before
