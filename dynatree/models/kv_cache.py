"""Preallocated key/value caches that keep an accepted tree path in place.

The cache plugs into any Hugging Face decoder through the ``Cache`` interface. All layers share one buffer, so
keeping a path costs two tensor operations for the whole model, and no forward pass ever concatenates.
"""

import sys
import weakref

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from dynatree.models.transfer import upload


def text_mask(new: int, visible: torch.Tensor | None, length: int) -> torch.Tensor | None:
    """The mask [1, 1, new, length + new] of a pass over ``new`` tokens behind ``length`` rows.

    Args:
        visible: boolean [new, rows]: which of the last ``rows`` rows, the new ones included, each new token attends
            to; all rows before them are visible. None for a chain.

    Returns:
        The mask; None where causal is right.
    """
    if visible is None:
        if new == 1 or length == 0:
            return None
        visible = torch.ones(new, new, dtype=torch.bool).tril()
    mask = torch.ones(1, 1, new, length + new, dtype=torch.bool)
    mask[0, 0, :, length + new - visible.shape[1] :] = visible
    return mask


class TreeLayer(CacheLayerMixin):
    """One layer's view into the buffer of a :class:`TreeCache`."""

    def __init__(self, cache: "TreeCache", index: int):
        super().__init__()
        self.cache = weakref.proxy(cache)  # without a cycle the buffer is free as soon as its request is over
        self.index = index
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        # key_states: [batch, kv_heads, n, head_dim]
        self.cache.allocate(key_states)
        self.keys = self.cache.buffer[2 * self.index]
        self.values = self.cache.buffer[2 * self.index + 1]
        self.is_initialized = True

    def update(self, key_states, value_states, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_max_length(self) -> int:
        return self.cache.capacity


class TreeCache(Cache):
    """Keys and values of ``num_layers`` layers in one tensor of fixed ``capacity``.

    Args:
        num_layers: layers of the model.
        capacity: rows (tokens) the cache can hold; a forward pass beyond it raises ``RuntimeError`` from torch.

    The rows of a verified tree are appended by an ordinary forward pass and then reduced to the accepted path by
    :meth:`keep`; rotary phases stay right because a path is contiguous in depth.

    Attributes:
        room: tokens that the text may grow by until rows are evicted: any number, as none ever are.
        evicted: tokens without a row.
        shift: what to subtract from the place of a new token in the text for its position.
        compressed: the cache itself if its layers need masks of their own.
    """

    room = sys.maxsize
    evicted = 0
    shift = 0
    compressed = None

    def __init__(self, num_layers: int, capacity: int):
        self.capacity = capacity
        self.buffer: torch.Tensor | None = None  # [2 * num_layers, batch, kv_heads, capacity, head_dim]
        super().__init__(layers=[TreeLayer(self, index) for index in range(num_layers)])

    def allocate(self, like: torch.Tensor) -> None:
        """Create the buffer for states shaped ``like`` [batch, kv_heads, n, head_dim], once."""
        if self.buffer is None:
            batch, heads, _, head_dim = like.shape
            self.buffer = like.new_empty(2 * len(self.layers), batch, heads, self.capacity, head_dim)

    @property
    def length(self) -> int:
        """Rows in use."""
        return self.layers[0].length

    @property
    def rows(self) -> int:
        """Rows in use."""
        return self.length

    @property
    def most_bytes(self) -> int:
        """Largest memory held, which is that of the buffer."""
        return 0 if self.buffer is None else self.buffer.nbytes

    def mask(self, new: int, visible: torch.Tensor | None) -> torch.Tensor | None:
        """The mask of the next pass, see :func:`text_mask`."""
        return text_mask(new, visible, self.length)

    def rewind(self, length: int) -> None:
        """Forget all rows from ``length`` on. Costs nothing: the rows are overwritten later."""
        for layer in self.layers:
            layer.length = length

    def keep(self, start: int, rows: list[int]) -> None:
        """Of the rows from ``start`` on keep ``rows`` (absolute, increasing), moved to ``start``; drop the others."""
        moved = [i for i, row in enumerate(rows) if row != start + i]
        if moved:
            first = moved[0]  # everything before it already lies in place
            source = upload(rows[first:], self.buffer.device)
            end = start + len(rows)
            self.buffer[..., start + first : end, :] = self.buffer.index_select(3, source)
        self.rewind(start + len(rows))


class BatchLayer(CacheLayerMixin):
    """One layer's view into the buffer of a :class:`BatchCache`."""

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
        rows = self.cache.rows  # [batch, n]
        requests = torch.arange(len(rows), device=rows.device)[:, None]
        self.keys, self.values = self.cache.buffer[2 * self.index], self.cache.buffer[2 * self.index + 1]
        self.keys[requests, :, rows] = key_states.transpose(1, 2)
        self.values[requests, :, rows] = value_states.transpose(1, 2)
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
        requests: how many.
        capacity: rows (tokens) that each request can hold.

    Attributes:
        lengths: rows in use, by request.
        rows: [batch, n] rows that the next pass writes, by request.
        end: rows of all requests that the next pass may see.
    """

    def __init__(self, num_layers: int, requests: int, capacity: int):
        self.capacity = capacity
        self.lengths = [0] * requests
        self.rows = torch.empty(0, 0, dtype=torch.int64)
        self.end = 0
        self.buffer: torch.Tensor | None = None  # [2 * num_layers, batch, kv_heads, capacity, head_dim]
        super().__init__(layers=[BatchLayer(self, index) for index in range(num_layers)])

    def allocate(self, like: torch.Tensor) -> None:
        """Create the buffer for states shaped ``like`` [batch, kv_heads, n, head_dim], once.

        Rows that are masked but read must be numbers, so it starts with zeros.
        """
        if self.buffer is None:
            batch, heads, _, head_dim = like.shape
            self.buffer = like.new_zeros(2 * len(self.layers), batch, heads, self.capacity, head_dim)

    def select(self, requests: list[int]) -> None:
        """Forget all requests but these."""
        self.lengths = [self.lengths[request] for request in requests]
        self.buffer = self.buffer.index_select(1, upload(requests, self.buffer.device))


class BatchRow:
    """One request's part of a :class:`BatchCache`, with the interface that a :class:`TreeCache` has for one request."""

    room = sys.maxsize
    evicted = 0

    def __init__(self, cache: BatchCache, request: int):
        self.cache = cache
        self.request = request

    @property
    def length(self) -> int:
        """Rows in use."""
        return self.cache.lengths[self.request]

    @property
    def most_bytes(self) -> int:
        """Memory of the request's part."""
        return 0 if self.cache.buffer is None else self.cache.buffer[:, 0].nbytes

    def keep(self, start: int, rows: list[int]) -> None:
        """As :meth:`TreeCache.keep`."""
        moved = [i for i, row in enumerate(rows) if row != start + i]
        if moved:
            own = self.cache.buffer[:, self.request]  # [2 * num_layers, kv_heads, capacity, head_dim]
            source = upload(rows[moved[0] :], own.device)
            own[..., start + moved[0] : start + len(rows), :] = own.index_select(2, source)
        self.cache.lengths[self.request] = start + len(rows)
