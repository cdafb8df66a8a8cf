"""A compressed key/value cache for tree decoding.

A tail of entries that are not compressed yet follows the kept entries. Trees are appended to the tail and reduced to
their accepted paths, as in :class:`dynatree.models.kv_cache.TreeCache`. Entries are evicted when the text has grown by
the method's ``every`` tokens, and only when all entries belong to the text. Therefore the tokens that a token attends
to depend on the text before it, not on where rounds began and ended, as long as no round exceeds
:attr:`CompressedTreeCache.capacity_left`.
"""

import sys
from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin

from dynatree.errors import DynatreeError
from dynatree.kvcompress.attention_history import AttentionHistory
from dynatree.kvcompress.entry_buffer import EntryBuffer
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.rotary import Rotation, layer_rotations
from dynatree.models.attention import head_counts
from dynatree.models.decoding_cache import DecodingCache
from dynatree.models.layout import MaskFunction, windowed
from dynatree.models.modes import layer_kinds, mode_of
from dynatree.models.transfer import input_device, upload


class CompressedTreeCache(Cache, DecodingCache):
    """Keys and values of one request, reduced by a compression method.

    Entries are named by the index of their token in the text. Layers that hold equally many entries share a buffer.
    Where a method keeps different numbers per head, each layer is as long as its longest head.

    Args:
        model: the model whose layers it serves.
        method: the compression method.
        tokens: tokens of the request, prompt included.
        nodes: largest number of nodes of a tree.

    Raises:
        DynatreeError: the method does not fit the model.
    """

    def __init__(self, model: PreTrainedModel, method: Method, tokens: int, nodes: int):
        if mode_of(model) != "grouped":
            raise DynatreeError(
                f"a {type(model).__name__} computes attention in its own way, so its cache cannot be compressed; leave "
                "out draft_cache and target_cache"
            )
        counts = head_counts(model.config)
        method.check_model(*counts)
        self.method = method
        self.device = input_device(model)
        kinds = layer_kinds(model)
        rotations: list[Rotation | None] = [*layer_rotations(model)] if method.rotates else [None] * len(kinds)
        kinds = [(kind, _key(rotation)) for kind, rotation in zip(kinds, rotations, strict=True)]
        slack = min(method.every, tokens) + nodes + 1
        layers = range(counts.layers)
        self.parts = [EntryBuffer(indices, slack, rotations[indices[0]]) for indices in _alike(method, kinds)]
        self.histories = [AttentionHistory(method) for _ in layers] if method.observed_queries else []
        self._max_bytes = 0
        self._queries = torch.empty(0, dtype=torch.int64)  # positions of the tokens of the current pass
        self._new = 0  # tokens of the first pass; 1 once they are kept
        self._compressed_at = 0  # tokens of the text at the last eviction
        self._drafted = False  # True while the current pass is over drafted tokens
        self._masks: dict[int, torch.Tensor | None] = {}  # of the current pass, by layer
        homes = {index: part.layers[place] for part in self.parts for place, index in enumerate(part.indices)}
        super().__init__(layers=[homes[index] for index in layers])

    @property
    def compressed(self) -> "CompressedTreeCache":
        """The cache itself, as each layer has a mask of its own."""
        return self

    @property
    def length(self) -> int:
        """Tokens of the request so far, evicted ones included."""
        return self.parts[0].length + self.parts[0].offset

    @property
    def entries(self) -> int:
        """Entries of the layer that holds most."""
        return max(part.length for part in self.parts)

    @property
    def evicted(self) -> int:
        """Tokens without an entry in any layer."""
        return self.length - self.entries

    @property
    def shift(self) -> int:
        """Offset between the index of a new token in the text and its position id."""
        return self.parts[0].offset if self.method.rotates else 0

    @property
    def capacity_left(self) -> int:
        """Tokens that the text may grow by before entries are evicted."""
        if self.method.when == "prefill":
            return sys.maxsize
        return max(self.method.every - (self.length - self._compressed_at), 1)

    @property
    def max_bytes(self) -> int:
        """Largest memory held so far, right after a forward pass or between passes."""
        return self._max_bytes

    def bytes(self) -> int:
        """Return the memory held: buffers, text indices of entries, and observed attention, pending included."""
        held = [tensor.untyped_storage() for history in self.histories for tensor in history.tensors()]
        observed = {storage.data_ptr(): storage.nbytes() for storage in held}
        return sum(part.bytes() for part in self.parts) + sum(observed.values())

    def layout(self, positions: Sequence[int], visible: torch.Tensor | None) -> None:
        """Prepare the masks of all layers for a forward pass, see :meth:`DecodingCache.layout`."""
        new = len(positions)
        self._new = self._new or new
        self._drafted = visible is not None
        self._queries = torch.tensor(positions)
        for part in self.parts:
            part.reserve(new)
            mask = part.part_mask(positions, visible)
            self._masks |= dict.fromkeys(part.indices, mask if mask is None else upload(mask, self.device))

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        scaling: float | None,
        window: MaskFunction | None = None,
    ) -> torch.Tensor | None:
        """Return the mask of ``layer`` in the current pass, and record its attention if the method uses it.

        Args:
            layer: its index.
            query: [1, heads, n, head_dim].
            key: [1, kv_heads, entries, head_dim].
            scaling: factor of the scores.
            window: mask function of a layer with a window; None without one.
        """
        mask = self._masks[layer]
        if window is not None:
            part = next(part for part in self.parts if layer in part.indices)
            queries = upload(self._queries - self.shift, self.device)
            mask = windowed(mask, window, queries, part.entry_positions(layer))
        if self.histories and self.method.covers(layer, self._new):
            self.histories[layer].observe(query, key, mask, scaling, self._drafted)
        return mask

    def keep(self, start: int, entries: list[int]) -> None:
        """Keep, of the entries from ``start`` on, only ``entries``; then evict what is due."""
        self._max_bytes = max(self._max_bytes, self.bytes())
        if not all(cast(CacheLayerMixin, layer).is_initialized for layer in self.layers):
            raise DynatreeError("some layers have no keys of their own, so the cache cannot be compressed")
        for part in self.parts:
            own = [entry - part.offset for entry in entries]
            part.keep(start - part.offset, own)
            for index in part.indices if self.histories else ():
                self.histories[index].keep(start - part.offset, own)
        if self.length - self._compressed_at >= self.method.every:
            self._compress()
        self._new = 1

    def _compress(self) -> None:
        seen = self.length
        for part in self.parts:
            if self.method.covers(part.indices[0], self._new):
                self._evict(part, seen)
                self._compressed_at = seen
        if self.method.when == "prefill":
            self.histories = []

    def _evict(self, part: EntryBuffer, seen: int) -> None:
        length = part.length
        observed = {index: self.histories[index].padded(length) if self.histories else None for index in part.indices}

        def select(index, keys, values, places):
            return self.method.select(keys, values, observed[index], places, seen, index)

        kept = part.evict(select)
        if kept and self.histories:
            for index, entries in zip(part.indices, kept, strict=True):
                self.histories[index].evict(entries, length)


def _alike(method: Method, kinds: list[Any]) -> list[list[int]]:
    """Group the layers of one kind that hold equally many entries."""
    groups: dict[Any, list[int]] = {}
    for index, kind in enumerate(kinds):
        skipped = index in method.skip_layers
        groups.setdefault(index if method.ragged and not skipped else (kind, skipped), []).append(index)
    return list(groups.values())


def _key(rotation: Rotation | None) -> tuple[int, bool] | None:
    return None if rotation is None else (id(rotation.frequencies), rotation.interleaved)
