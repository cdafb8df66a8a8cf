"""One preallocated key/value cache for several requests of different lengths."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache

from dynatree.errors import DynatreeError
from dynatree.models.decoding_cache import DecodingCache
from dynatree.models.kv_cache import HEADROOM, Block, grown, move_entries
from dynatree.models.own_cache import OwnLayer
from dynatree.models.transfer import upload


class BatchLayer(OwnLayer):
    """The view of one layer into a block of a :class:`BatchCache`."""

    def __init__(self, cache: "BatchCache", block: Block, place: int):
        super().__init__()
        self.cache = cache
        self.block = block
        self.place = place

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        # key_states, value_states: [requests of the forward pass, kv_heads, n, width]
        batch = len(self.cache.lengths)
        keys, values = (states[:1].expand(batch, -1, -1, -1) for states in (key_states, value_states))
        self.cache.allocate(self.block, keys, values)
        if not self.block.serves(keys, values):
            self.block, self.place = self.cache.add_block(1), 0
            self.cache.allocate(self.block, keys, values)
        self.is_initialized = True

    def update(self, key_states, value_states, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        # key_states: [batch, kv_heads, n, head_dim]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        requests, entries = self.cache.written(key_states.device)
        first, end = self.cache.first, self.cache.end
        members = slice(first, first + len(key_states))
        self.cache.grow(end)
        self.keys, self.values = self.block.views(self.place)
        self.keys[requests, :, entries] = key_states.transpose(1, 2)
        self.values[requests, :, entries] = value_states.transpose(1, 2)
        return self.keys[members, :, :end], self.values[members, :, :end]

    def update_indexer(self, states: torch.Tensor) -> torch.Tensor:
        """Raise, because a sparse attention keeps keys of its own for each request."""
        raise DynatreeError("a batch has no cache for the keys of a sparse attention; decode the prompts one by one")

    def get_seq_length(self) -> int:
        return max(self.cache.lengths)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.cache.end, 0

    def get_max_length(self) -> int:
        return self.cache.capacity


class BatchCache(Cache):
    """Keys and values of several requests, each of its own length, in the same tensors.

    Args:
        num_layers: layers of the model.
        requests: number of requests.
        capacity: entries (tokens) that each request can hold.
        kinds: the kind of each layer; layers of one kind share a buffer. None if all layers are alike.

    Attributes:
        lengths: entries in use, by request.
        first: first request of the next forward pass.
        new_entries: [batch, n] entries that the next forward pass writes, by request from ``first`` on; on the host.
        end: entries of each request that the next forward pass reads.
    """

    def __init__(self, num_layers: int, requests: int, capacity: int, kinds: Sequence[Any] | None = None):
        self.capacity = capacity
        self.lengths = [0] * requests
        self.first = 0
        self.new_entries = torch.empty(0, 0, dtype=torch.int64)
        self.end = 0
        self._written: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
        self.blocks: list[Block] = []
        kinds = [None] * num_layers if kinds is None else list(kinds)
        blocks = {kind: self.add_block(kinds.count(kind)) for kind in dict.fromkeys(kinds)}
        places = [kinds[:index].count(kind) for index, kind in enumerate(kinds)]
        super().__init__(
            layers=[BatchLayer(self, blocks[kind], place) for kind, place in zip(kinds, places, strict=True)]
        )

    def add_block(self, layers: int) -> Block:
        """Return a new block for some layers."""
        self.blocks.append(Block(layers))
        return self.blocks[-1]

    @property
    def buffer(self) -> torch.Tensor | None:
        """The buffer of a model whose layers are alike; None before the first forward pass."""
        return self.blocks[0].buffers[0] if self.blocks[0].buffers else None

    def allocate(self, block: Block, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Create the buffers of a block for states [batch, kv_heads, n, width], once.

        Attention reads masked entries too, so the buffers start with zeros instead of arbitrary bits.
        """
        if not block.buffers:
            block.allocate(keys, values, min(self.capacity, keys.shape[2] + HEADROOM))
            for buffer in block.buffers:
                buffer.zero_()

    def grow(self, entries: int) -> None:
        """Provide buffers for ``entries`` of each request, up to the capacity, and keep what is held."""
        for block in self.blocks:
            held = block.buffers[0].shape[-2] if block.buffers else entries
            if entries > held:
                room = min(self.capacity, entries + HEADROOM)
                block.buffers = [grown(buffer, room, held) for buffer in block.buffers]

    def update(self, key_states, value_states, layer_idx, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        while layer_idx >= len(self.layers):  # a model may run some layers more than once
            self.layers.append(BatchLayer(self, self.add_block(1), 0))
        return super().update(key_states, value_states, layer_idx, *args, **kwargs)

    def written(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the requests [batch, 1] and entries [batch, n] that a forward pass writes, uploaded once per pass."""
        if self._written is None or self._written[0] is not self.new_entries or self._written[2].device != device:
            requests = torch.arange(self.first, self.first + len(self.new_entries))[:, None]
            self._written = self.new_entries, upload(requests, device), upload(self.new_entries, device)
        return self._written[1:]

    def select(self, requests: list[int]) -> None:
        """Drop all requests except ``requests``."""
        self.lengths = [self.lengths[request] for request in requests]
        for block in self.blocks:
            block.buffers = [buffer.index_select(1, upload(requests, buffer.device)) for buffer in block.buffers]


class BatchRow(DecodingCache):
    """The part of a :class:`BatchCache` that belongs to one request.

    Args:
        cache: the cache of the batch.
        request: index of the request in the batch.
    """

    def __init__(self, cache: BatchCache, request: int):
        self.cache = cache
        self.request = request

    @property
    def length(self) -> int:
        """Entries in use."""
        return self.cache.lengths[self.request]

    @property
    def is_shared(self) -> bool:
        return True

    @property
    def max_bytes(self) -> int:
        """Memory of the part."""
        return sum(buffer[:, 0].nbytes for block in self.cache.blocks for buffer in block.buffers)

    def keep(self, start: int, entries: list[int]) -> None:
        """Keep, of the entries from ``start`` on, only ``entries`` (increasing), and move them to ``start``."""
        for block in self.cache.blocks:
            for buffer in block.buffers:
                move_entries(buffer[:, self.request], start, entries)
        self.cache.lengths[self.request] = start + len(entries)
