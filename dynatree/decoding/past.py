"""Entries that outlive a request, so that the next one reads only the rest of its prompt."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer

from dynatree.models.chain_cache import empty_cache
from dynatree.models.kv_cache import TreeCache
from dynatree.models.positions import switching_length
from dynatree.models.runner import ModelRunner


class Past:
    """The entries of both models for the text of the last request.

    A request copies the entries of the longest common prefix with its prompt. At its end, the object holds the entries
    of its text. Models that :func:`reads_on` excludes read every prompt again. In float32, the output is that of a
    request without a past.

    Args:
        tokens: the text.
        caches: by role, a cache that holds entries of the first tokens of the text.

    Attributes:
        tokens: the text.
        caches: the caches, which the next request extends.
    """

    def __init__(self, tokens: Sequence[int] = (), caches: dict[str, DynamicCache] | None = None):
        self.tokens = list(tokens)
        self.caches = caches or {}
        self._models: dict[str, PreTrainedModel] = {}

    def fill(self, runner: ModelRunner, prompt: list[int]) -> None:
        """Copy the entries of the common prefix into an empty cache; those of the last token are left out.

        Args:
            runner: a model with its cache.
            prompt: token ids.
        """
        past = self.caches.get(runner.role)
        if past is None or runner.strict or not isinstance(runner.cache, TreeCache) or not reads_on(runner.model):
            return
        if not self._is_of(runner):
            return
        length = min(common_length(self.tokens, prompt), past.get_seq_length(), len(prompt) - 1)
        layers, cache = _filled(past), cast(Any, runner.cache)
        if length and all(_goes_back(layer, length) for layer in layers.values()):
            for index, layer in layers.items():
                cache.update(_first(layer.keys, length), _first(layer.values, length), index)

    @torch.inference_mode(False)
    @torch.no_grad()
    def keep(self, runners: Iterable[ModelRunner], text: list[int]) -> None:
        """Hold the entries of a text, in the same caches if it continues theirs.

        Args:
            runners: the models of the request with their caches.
            text: the prompt and the output.
        """
        common = common_length(self.tokens, text)
        for runner in runners:
            if isinstance(runner.cache, TreeCache):
                past = self.caches.get(runner.role)
                if past is None or past.get_seq_length() > common or not self._is_of(runner):
                    past = empty_cache(runner.model)
                if is_readable(past):
                    _extend(past, runner.cache, len(text) - 1)
                    self.caches[runner.role], self._models[runner.role] = past, runner.model
        self.tokens = text

    def _is_of(self, runner: ModelRunner) -> bool:
        """Return True unless the cache of a role holds entries of another model."""
        return self._models.get(runner.role, runner.model) is runner.model


def reads_on(model: PreTrainedModel) -> bool:
    """Return True if the entries of a text do not depend on the text that follows it.

    Rotary frequencies that change with the length of the text do. The cache decides about models that read chains.
    """
    return switching_length(model.config) is None


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the longest common prefix."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (ours, theirs) in pairs if ours != theirs), min(len(one), len(other)))


def is_readable(cache: object) -> bool:
    """Return True for a cache of transformers whose entries :meth:`Past.fill` can copy."""
    return (
        type(cache) is DynamicCache
        and not cache.offloading
        and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers)
    )


def _filled(cache: Cache) -> dict[int, Any]:
    """Return the layers of a cache that hold entries, by their index; layers that share entries hold none."""
    layers = cast(list[Any], cache.layers)
    return {index: layer for index, layer in enumerate(layers) if layer.is_initialized}


def _goes_back(layer: Any, length: int) -> bool:
    """Return True if a layer holds all entries that a text of ``length`` tokens attends to."""
    return layer.keys.shape[-2] == layer.get_seq_length() or length == layer.get_seq_length()


def _first(states: torch.Tensor, length: int) -> torch.Tensor:
    """Return the first entries [1, kv_heads, length, head_dim]; zeros where a window has dropped them."""
    dropped = length - states.shape[-2]
    if dropped <= 0:
        return states[:, :, :length]
    return torch.cat((states.new_zeros(*states.shape[:2], dropped, states.shape[-1]), states), dim=-2)


def _extend(past: DynamicCache, cache: TreeCache, length: int) -> None:
    """Append entries until ``past`` holds the first ``length`` ones of a cache, or as many as there are."""
    held, end = past.get_seq_length(), min(length, cache.length)
    if end > held:
        for index, layer in _filled(cache).items():
            cast(Any, past).update(layer.keys[:, :, held:end], layer.values[:, :, held:end], index)
