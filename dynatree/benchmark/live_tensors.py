"""The tensors that are alive while something runs."""

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
    """Most bytes that tensors made during ``work`` take at once, whatever is alive before not counted.

    On CUDA the allocator's peak.
    """
    live = LiveTensors({head_rows(model)})
    with allocator_peak(model.device) as allocator, live:
        work()
    return allocator.get("peak", live.peak)


class LiveTensors(TorchDispatchMode):
    """Follows the bytes of all tensors made inside, each storage once, until they die.

    Args:
        vocabularies: sizes that mark a tensor as logits when it has a dimension of that size.

    Attributes:
        peak: most bytes alive at any time.
        parts: the bytes of each kind then: "logits", the kinds given to :meth:`mark`, and "other".
        largest_logits: most bytes of logits alive at any time.
    """

    def __init__(self, vocabularies: set[int]):
        super().__init__()
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
            if storage_key(leaf) not in known | self.alive.keys():
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
        """Count a living tensor as ``kind`` from now on."""
        key = storage_key(tensor)
        if key in self.alive:
            size, before = self.alive[key]
            self.alive[key] = size, kind
            self.now[before] -= size
            self.now[kind] += size


def _tensors(tree) -> list[torch.Tensor]:
    """The tensors of a tree but for packed weights, which have no storage of torch's."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided]


def storage_key(tensor: torch.Tensor) -> int:
    """What tensors that share their storage have in common."""
    return tensor.untyped_storage()._cdata


@contextmanager
def allocator_peak(device: torch.device):
    """The "peak" of what CUDA's allocator holds beyond what it held before; empty on other devices."""
    measured: dict[str, int] = {}
    if device.type != "cuda":
        yield measured
        return
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    yield measured
    measured["peak"] = torch.cuda.max_memory_allocated(device) - before
