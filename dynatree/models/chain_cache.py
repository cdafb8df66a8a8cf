"""The cache of a model that reads tokens in order only: its own cache of transformers, with snapshot and restore.

A recurrent state summarizes all tokens so far, so rejected tokens cannot be removed from it. The cache therefore goes
back to a snapshot, and the next forward pass reads the accepted tokens again before its new ones.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from dynatree.errors import DynatreeError
from dynatree.models.decoding_cache import DecodingCache
from dynatree.models.forward import forward_logits

READ_AGAIN = 16  # accepted tokens that forward passes read again before a forward pass of their own settles them
REPLACED = ("keys", "values")  # tensors of a growing layer, which it replaces instead of writing into them


class ChainCache(DecodingCache):
    """Tokens of one request in a model's own cache, which takes chains and no trees.

    Args:
        model: the model that it serves.

    Attributes:
        own: the cache of transformers.
    """

    def __init__(self, model: PreTrainedModel):
        self.model = model
        self.own: Cache = empty_cache(model)
        self._snapshot: Cache | None = None
        self._settled = 0  # tokens of the text that the snapshot has read
        self._log: list[int] = []  # later tokens of the text
        self._stale = False  # True if the cache has read rejected tokens

    @property
    def length(self) -> int:
        """Tokens of the request so far."""
        return self._settled + len(self._log)

    @property
    def max_bytes(self) -> int:
        """Memory of the tensors held."""
        caches = [self.own] if self._snapshot is None else [self.own, self._snapshot]
        tensors = [tensor for cache in caches for layer in cache.layers for tensor in _tensors(vars(layer))]
        return sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors}.values())

    def keep(self, start: int, entries: list[int]) -> None:
        kept = start + len(entries)
        if kept == 0:
            self.own, self._snapshot, self._settled, self._log, self._stale = (
                empty_cache(self.model),
                None,
                0,
                [],
                False,
            )
            return
        if entries != list(range(start, kept)) or not self._settled <= kept <= self.length:
            raise DynatreeError(f"a chain of {self.length} tokens cannot keep the entries {entries} after {start}")
        if kept < self.length:
            self._stale = True
            del self._log[kept - self._settled :]
        elif not self._stale:
            self._settle(None)

    def forward(
        self, ids: torch.Tensor, positions: Sequence[int], visible: torch.Tensor | None, last_only: bool
    ) -> torch.Tensor:
        """Return the logits [n or 1, tokens of the head] of a chain of new tokens, and append them.

        Args:
            ids: [n] token ids.
            positions: index of each new token in the text.
            visible: see :meth:`dynatree.models.runner.ModelRunner.forward`; it must be that of a chain.
            last_only: return the logits of the last token only.

        Raises:
            DynatreeError: the tokens are not a chain.
        """
        if list(positions) != list(range(self.length, self.length + len(ids))) or not is_chain(visible):
            raise DynatreeError(
                f"a {type(self.model).__name__} reads tokens in order, so it verifies chains and no trees; use "
                "method='chain', 'cost_aware' or 'autoregressive'"
            )
        again = self._restore(ids)
        logits = self._read(torch.cat((again, ids)), self.length - len(again), last_only)
        self._log += ids.tolist()
        return logits if last_only else logits[len(again) :]

    def _restore(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the accepted tokens to read again, and have a snapshot without them."""
        if not self._stale:
            if self._snapshot is None:
                self._settle(snapshot(self.own))
            return ids[:0]
        assert self._snapshot is not None, "a forward pass takes a snapshot before it reads tokens"
        self.own, self._stale = snapshot(self._snapshot), False
        again = ids.new_tensor(self._log)
        if len(again) <= READ_AGAIN:
            return again
        self._read(again, self._settled, last_only=True)
        self._settle(snapshot(self.own))
        return ids[:0]

    def _settle(self, taken: Cache | None) -> None:
        self._settled, self._log, self._snapshot = self.length, [], taken

    def _read(self, ids: torch.Tensor, start: int, last_only: bool) -> torch.Tensor:
        positions = torch.arange(start, start + len(ids), device=ids.device)[None]
        return forward_logits(self.model, ids[None], positions, None, self.own, last_only, implementation=None)[0]


def empty_cache(model: PreTrainedModel) -> DynamicCache:
    """Return an empty cache of transformers for a model."""
    return DynamicCache(config=model.config.get_text_config(decoder=True))


def is_chain(visible: torch.Tensor | None) -> bool:
    """Return True if each new token attends to all entries before it."""
    if visible is None:
        return True
    new, entries = visible.shape
    return torch.equal(visible, torch.ones_like(visible).tril(entries - new))


def snapshot(cache: Cache) -> Cache:
    """Return a copy of a cache that later forward passes with the cache leave as it is."""
    twin = copy.copy(cache)
    twin.layers = [_copied_layer(layer) for layer in cache.layers]
    return twin


def _copied_layer(layer: Any) -> Any:
    twin, shared = copy.copy(layer), REPLACED if isinstance(layer, DynamicLayer) else ()
    for name, value in vars(layer).items():
        setattr(twin, name, value if name in shared else _copied(value))
    return twin


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list) else value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _tensors(one)
