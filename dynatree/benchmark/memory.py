"""Peak memory of a request, split into weights, caches, logits and the rest."""

import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel

from dynatree.benchmark.protocol import run_case
from dynatree.models import ModelPair, head_rows
from dynatree.packing import packed_bytes

MIB = 2**20


def measure_memory(pair: ModelPair, prompt: list[int], case: dict, new_tokens: int) -> dict[str, float]:
    """Peak memory in MiB that a request of ``case`` needs, weights of the models it uses included.

    Caches, logits and the rest are those alive at the moment of the peak, so they add up to it. Weights that both
    models share count for the target; the draft's count only for a case that runs the draft. On CUDA the total is the
    allocator's peak, and ``other_mib`` holds what that takes beyond the tensors seen; elsewhere the total is that of
    all live tensors.

    Returns:
        weights_target_mib, weights_draft_mib, cache_target_mib, cache_draft_mib, logits_mib, other_mib, their sum
        peak_mib, and largest_logits_mib, which need not coincide with the peak.
    """
    weights = _weights(pair)
    live = LiveTensors(_vocabularies(pair))
    with _allocator(pair.device) as allocator, live, _watched_caches(pair, live):
        out = run_case(pair, prompt, case, new_tokens)
    working = allocator.get("peak", live.peak)
    parts = {
        "weights_target_mib": weights["target"],
        "weights_draft_mib": weights["draft"] if out["draft_forwards"] else 0,
        "cache_target_mib": live.parts["target"],
        "cache_draft_mib": live.parts["draft"],
        "logits_mib": live.parts["logits"],
        "other_mib": working - sum(live.parts[part] for part in ("target", "draft", "logits")),
    }
    peak = sum(parts.values())
    parts |= {"peak_mib": peak, "largest_logits_mib": live.largest_logits}
    return {name: size / MIB for name, size in parts.items()}


def peak_bytes(model: PreTrainedModel, work: Callable[[], object]) -> int:
    """Most bytes that tensors made during ``work`` take at once, whatever is alive before not counted.

    On CUDA the allocator's peak.
    """
    live = LiveTensors({head_rows(model)})
    with _allocator(model.device) as allocator, live:
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
        known = {_storage(leaf) for leaf in _tensors((arguments, options))}
        for leaf in _tensors(result):
            if _storage(leaf) not in known | self.alive.keys():
                self._add(leaf)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        kind = "logits" if self.vocabularies & set(tensor.shape) else "other"
        self.alive[_storage(tensor)] = storage.nbytes(), kind
        weakref.finalize(storage, self._remove, _storage(tensor))
        self.now[kind] += storage.nbytes()
        self.largest_logits = max(self.largest_logits, self.now["logits"])
        if self.now.total() >= self.peak:
            self.peak, self.parts = self.now.total(), self.now.copy()

    def _remove(self, key: int) -> None:
        size, kind = self.alive.pop(key, (0, "other"))
        self.now[kind] -= size

    def mark(self, tensor: torch.Tensor, kind: str) -> None:
        """Count a living tensor as ``kind`` from now on."""
        key = _storage(tensor)
        if key in self.alive:
            size, before = self.alive[key]
            self.alive[key] = size, kind
            self.now[before] -= size
            self.now[kind] += size


def _tensors(tree) -> list[torch.Tensor]:
    """The tensors of a tree but for packed weights, which have no storage of torch's."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided]


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


@contextmanager
def _allocator(device: torch.device):
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


def _weights(pair: ModelPair) -> dict[str, int]:
    """Bytes of the weights of each model; storages that both hold count for the target."""
    seen, sizes = set(), {}
    for role, model in (("target", pair.target), ("draft", pair.draft)):
        storages = {_storage(tensor): tensor.untyped_storage().nbytes() for tensor in model.state_dict().values()}
        sizes[role] = sum(size for key, size in storages.items() if key not in seen) + packed_bytes(model)
        seen |= set(storages)
    return sizes


def _vocabularies(pair: ModelPair) -> set[int]:
    """Sizes of the output heads."""
    return {head_rows(model) for model in (pair.target, pair.draft)}


@contextmanager
def _watched_caches(pair: ModelPair, live: LiveTensors):
    """Mark each model's keys and values as its cache, after every layer of every pass."""
    handles = []
    for role, model in (("target", pair.target), ("draft", pair.draft)):
        used = {}

        def remember(module, arguments, options, used=used):
            used["cache"] = options.get("past_key_values")

        def note(module, arguments, output, used=used, role=role):
            for layer in used["cache"].layers if used["cache"] else ():
                if layer.is_initialized:
                    live.mark(layer.keys, role)
                    live.mark(layer.values, role)

        handles.append(model.base_model.register_forward_pre_hook(remember, with_kwargs=True))
        handles += [layer.register_forward_hook(note) for layer in model.base_model.layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
