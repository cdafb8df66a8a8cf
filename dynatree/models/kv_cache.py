"""A preallocated key/value cache that keeps an accepted tree path in place.

The cache plugs into any Hugging Face decoder through the ``Cache`` interface. All layers share one buffer. Keeping a
path therefore costs two tensor operations for all layers, and no forward pass concatenates.
"""

import weakref
from typing import Any

import torch
from transformers.cache_utils import Cache

from dynatree.errors import DynatreeError
from dynatree.models.decoding_cache import DecodingCache
from dynatree.models.own_cache import OwnLayer
from dynatree.models.transfer import upload

HEADROOM = 1024  # entries that are allocated ahead


class TreeLayer(OwnLayer):
    """The view of one layer into the buffer of a :class:`TreeCache`."""

    def __init__(self, cache: "TreeCache", index: int):
        super().__init__()
        self.cache = weakref.proxy(cache)  # a reference cycle would hold the buffer after the request has ended
        self.index = index
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        # key_states: [batch, kv_heads, n, head_dim]
        self.cache.allocate(key_states)
        self.view()

    def view(self) -> None:
        """Refer to the part of the buffer that belongs to the layer."""
        self.keys = self.cache.buffer[2 * self.index]
        self.values = self.cache.buffer[2 * self.index + 1]
        self.is_initialized = True

    def update(self, key_states, value_states, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        assert self.keys is not None and self.values is not None, "lazy_initialization() sets them"
        if end > self.keys.shape[2]:
            self.cache.grow(end)
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def reset(self) -> None:
        """Drop all entries."""
        self.length = 0

    def get_seq_length(self) -> int:
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_max_length(self) -> int:
        return self.cache.capacity


class TreeCache(Cache, DecodingCache):
    """Keys and values of ``num_layers`` layers in one tensor of at most ``capacity`` entries.

    A large capacity is allocated step by step, so a request that may be long costs the memory of its text.
    An ordinary forward pass appends the entries of a verified tree. :meth:`keep` then reduces them to the accepted
    path. Rotary phases stay right because a path is contiguous in depth.

    Args:
        num_layers: layers of the model.
        capacity: entries (tokens) the cache can hold. A forward pass beyond it raises ``RuntimeError`` from torch.
    """

    layers: list[TreeLayer]

    def __init__(self, num_layers: int, capacity: int):
        self.capacity = capacity
        self.buffer: torch.Tensor | None = None  # [2 * num_layers, batch, kv_heads, capacity, head_dim]
        super().__init__(layers=[TreeLayer(self, index) for index in range(num_layers)])

    def allocate(self, like: torch.Tensor) -> None:
        """Create the buffer for states shaped ``like`` [batch, kv_heads, n, head_dim], once."""
        if self.buffer is None:
            batch, heads, new, head_dim = like.shape
            self.buffer = like.new_empty(2 * len(self.layers), batch, heads, self._room(new), head_dim)

    def grow(self, entries: int) -> None:
        """Provide a buffer for ``entries``, which must not exceed the capacity, and keep what is held."""
        assert self.buffer is not None, "update() allocates the buffer"
        self.buffer = grown(self.buffer, self._room(entries), self.length)
        for layer in self.layers:
            layer.view()

    def _room(self, entries: int) -> int:
        """Entries of a buffer that must hold ``entries``."""
        return min(self.capacity, entries + HEADROOM)

    @property
    def length(self) -> int:
        """Entries in use."""
        return self.layers[0].length

    @property
    def max_bytes(self) -> int:
        """Memory of the buffer."""
        return 0 if self.buffer is None else self.buffer.nbytes

    def __deepcopy__(self, memo: dict[int, Any]) -> "TreeCache":
        if type(self) is not TreeCache:
            raise DynatreeError(f"a {type(self).__name__} cannot be copied; decode the prompt again")
        copy = memo[id(self)] = TreeCache(len(self.layers), self.capacity)
        copy.buffer = None if self.buffer is None else self.buffer.clone()
        copy.rewind(self.length)
        for layer in copy.layers if copy.buffer is not None else ():
            layer.view()
        return copy

    def rewind(self, length: int) -> None:
        """Drop all entries from ``length`` on; later forward passes overwrite them."""
        for layer in self.layers:
            layer.length = length

    def keep(self, start: int, entries: list[int]) -> None:
        """Keep, of the entries from ``start`` on, only ``entries`` (increasing), and move them to ``start``."""
        if self.buffer is not None:
            move_entries(self.buffer, start, entries)
        self.rewind(start + len(entries))


def grown(buffer: torch.Tensor, capacity: int, length: int) -> torch.Tensor:
    """Return a buffer [..., capacity, head_dim] that begins with ``length`` entries of another and holds zeros."""
    larger = buffer.new_zeros(*buffer.shape[:-2], capacity, buffer.shape[-1])
    larger[..., :length, :] = buffer[..., :length, :]
    return larger


def move_entries(buffer: torch.Tensor, start: int, entries: list[int]) -> None:
    """Move the increasing ``entries`` of ``buffer`` [..., capacity, head_dim] to ``start``; those in place stay."""
    moved = [index for index, entry in enumerate(entries) if entry != start + index]
    if moved:
        source = upload(entries[moved[0] :], buffer.device)
        buffer[..., start + moved[0] : start + len(entries), :] = buffer.index_select(-2, source)
