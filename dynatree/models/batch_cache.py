"""One preallocated key/value cache for several requests of different lengths."""

import torch
from transformers.cache_utils import Cache

from dynatree.models.decoding_cache import DecodingCache
from dynatree.models.kv_cache import HEADROOM, grown, move_entries
from dynatree.models.own_cache import OwnLayer
from dynatree.models.transfer import upload


class BatchLayer(OwnLayer):
    """The view of one layer into the buffer of a :class:`BatchCache`."""

    def __init__(self, cache: "BatchCache", index: int):
        super().__init__()
        self.cache = cache
        self.index = index

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.cache.allocate(key_states)
        self.is_initialized = True

    def update(self, key_states, value_states, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        # key_states: [batch, kv_heads, n, head_dim]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        entries = self.cache.new_entries  # [batch, n]
        requests = torch.arange(len(entries), device=entries.device)[:, None]
        self.cache.grow(self.cache.end)
        buffer = self.cache.buffer
        assert buffer is not None, "lazy_initialization() allocates the buffer"
        self.keys, self.values = buffer[2 * self.index], buffer[2 * self.index + 1]
        self.keys[requests, :, entries] = key_states.transpose(1, 2)
        self.values[requests, :, entries] = value_states.transpose(1, 2)
        end = self.cache.end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return max(self.cache.lengths)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.cache.end, 0

    def get_max_length(self) -> int:
        return self.cache.capacity


class BatchCache(Cache):
    """Keys and values of several requests, each of its own length, in one tensor.

    Args:
        num_layers: layers of the model.
        requests: number of requests.
        capacity: entries (tokens) that each request can hold.

    Attributes:
        lengths: entries in use, by request.
        new_entries: [batch, n] entries that the next forward pass writes, by request.
        end: entries of each request that the next forward pass reads.
    """

    def __init__(self, num_layers: int, requests: int, capacity: int):
        self.capacity = capacity
        self.lengths = [0] * requests
        self.new_entries = torch.empty(0, 0, dtype=torch.int64)
        self.end = 0
        self.buffer: torch.Tensor | None = None  # [2 * num_layers, batch, kv_heads, capacity, head_dim]
        super().__init__(layers=[BatchLayer(self, index) for index in range(num_layers)])

    def allocate(self, like: torch.Tensor) -> None:
        """Create the buffer for states shaped ``like`` [batch, kv_heads, n, head_dim], once.

        Attention reads masked entries too, so the buffer starts with zeros instead of arbitrary bits.
        """
        if self.buffer is None:
            batch, heads, new, head_dim = like.shape
            room = min(self.capacity, new + HEADROOM)
            self.buffer = like.new_zeros(2 * len(self.layers), batch, heads, room, head_dim)

    def grow(self, entries: int) -> None:
        """Provide a buffer for ``entries`` of each request, up to the capacity, and keep what is held."""
        held = 0 if self.buffer is None else self.buffer.shape[-2]
        if self.buffer is not None and entries > held:
            self.buffer = grown(self.buffer, min(self.capacity, entries + HEADROOM), held)

    def select(self, requests: list[int]) -> None:
        """Drop all requests except ``requests``."""
        self.lengths = [self.lengths[request] for request in requests]
        if self.buffer is not None:
            self.buffer = self.buffer.index_select(1, upload(requests, self.buffer.device))


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
    def max_bytes(self) -> int:
        """Memory of the part."""
        return 0 if self.cache.buffer is None else self.cache.buffer[:, 0].nbytes

    def keep(self, start: int, entries: list[int]) -> None:
        """Keep, of the entries from ``start`` on, only ``entries`` (increasing), and move them to ``start``."""
        if self.cache.buffer is not None:
            move_entries(self.cache.buffer[:, self.request], start, entries)
        self.cache.lengths[self.request] = start + len(entries)
