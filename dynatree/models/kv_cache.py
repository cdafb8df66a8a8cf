"""A preallocated key/value cache that keeps an accepted tree path in place.

The cache plugs into any Hugging Face decoder through the ``Cache`` interface. Layers whose states have the same shape
share one buffer. Keeping a path therefore costs two tensor operations for all of them, and no forward pass
concatenates.
"""

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache

from dynatree.errors import DynatreeError
from dynatree.models.decoding_cache import DecodingCache
from dynatree.models.layout import PassLayout
from dynatree.models.own_cache import OwnLayer
from dynatree.models.transfer import upload

HEADROOM = 1024  # entries that are allocated ahead


class Block:
    """Entries of layers whose states have the same shape.

    Args:
        layers: number of layers.

    Attributes:
        buffers: one tensor [2 * layers, batch, kv_heads, entries, width], keys and values of each layer in turn; or a
            tensor [layers, batch, kv_heads, entries, width] of keys and one of values if they differ in width. Empty
            before the first forward pass.
    """

    def __init__(self, layers: int):
        self.layers = layers
        self.buffers: list[torch.Tensor] = []

    def allocate(self, keys: torch.Tensor, values: torch.Tensor, entries: int) -> None:
        """Create buffers of ``entries`` for states shaped like ``keys`` and ``values`` [batch, kv_heads, n, width]."""
        sizes = [(self.layers, keys), (self.layers, values)]
        if keys.shape == values.shape:
            sizes = [(2 * self.layers, keys)]
        self.buffers = [one.new_empty(count, *one.shape[:2], entries, one.shape[3]) for count, one in sizes]

    def serves(self, keys: torch.Tensor, values: torch.Tensor) -> bool:
        """Return True if states of a layer have the shape, the format and the device of the buffers."""
        return all(
            buffer.shape[1:3] == states.shape[:2]
            and (buffer.shape[-1], buffer.dtype, buffer.device) == (states.shape[-1], states.dtype, states.device)
            for buffer, states in ((self.buffers[0], keys), (self.buffers[-1], values))
        )

    def views(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the keys and values of the layer at ``place``."""
        if len(self.buffers) == 1:
            return self.buffers[0][2 * place], self.buffers[0][2 * place + 1]
        return self.buffers[0][place], self.buffers[1][place]


class TreeLayer(OwnLayer):
    """The view of one layer into a block of a :class:`TreeCache`."""

    def __init__(self, cache: "TreeCache", block: Block, place: int):
        super().__init__()
        self.cache = weakref.proxy(cache)  # a reference cycle would hold the buffer after the request has ended
        self.block = block
        self.place = place
        self.length = 0
        self.indexer_keys: torch.Tensor | None = None  # [batch, entries, width]; those of a sparse attention

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        # key_states, value_states: [batch, kv_heads, n, width]
        self.cache.allocate(self.block, key_states, value_states)
        if not self.block.serves(key_states, value_states):  # head sizes may differ from layer to layer
            self.block, self.place = self.cache.add_block(1), 0
            self.cache.allocate(self.block, key_states, value_states)
        self.view()

    def view(self) -> None:
        """Refer to the part of the block that belongs to the layer."""
        if self.block.buffers:
            self.keys, self.values = self.block.views(self.place)
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

    def update_indexer(self, states: torch.Tensor) -> torch.Tensor:
        """Append the keys [batch, n, width] by which a sparse attention selects entries, after :meth:`update`."""
        batch, new, width = states.shape
        held, room = self.indexer_keys, 0 if self.keys is None else self.keys.shape[2]
        if held is None or held.shape[1] < room:
            self.indexer_keys = states.new_empty(batch, room, width)
            if held is not None:
                self.indexer_keys[:, : held.shape[1]] = held
        assert self.indexer_keys is not None
        self.indexer_keys[:, self.length - new : self.length] = states
        return self.indexer_keys[:, : self.length]

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
    """Keys and values of a model's layers, of at most ``capacity`` entries each.

    A large capacity is allocated step by step, so a request that may be long costs the memory of its text.
    An ordinary forward pass appends the entries of a verified tree. :meth:`keep` then reduces them to the accepted
    path. Rotary phases stay right because a path is contiguous in depth.

    Args:
        num_layers: layers of the model.
        capacity: entries (tokens) the cache can hold. A forward pass beyond it raises ``RuntimeError`` from torch.
        kinds: the kind of each layer; layers of one kind share a buffer. None if all layers are alike.
    """

    layers: list[TreeLayer]

    def __init__(self, num_layers: int, capacity: int, kinds: Sequence[Any] | None = None):
        self.capacity = capacity
        self.kinds = [None] * num_layers if kinds is None else list(kinds)
        self.blocks: list[Block] = []
        self._tail: list[int] = []  # positions of the entries since the last call of keep()
        blocks = {kind: self.add_block(self.kinds.count(kind)) for kind in dict.fromkeys(self.kinds)}
        places = dict.fromkeys(blocks, 0)
        layers: list[TreeLayer] = []
        for kind in self.kinds:
            layers.append(TreeLayer(self, blocks[kind], places[kind]))
            places[kind] += 1
        super().__init__(layers=[*layers])

    def add_block(self, layers: int) -> Block:
        """Return a new block for some layers."""
        self.blocks.append(Block(layers))
        return self.blocks[-1]

    @property
    def buffer(self) -> torch.Tensor | None:
        """The buffer of a model whose layers are alike; None before the first forward pass."""
        return self.blocks[0].buffers[0] if self.blocks[0].buffers else None

    def allocate(self, block: Block, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Create the buffers of a block for states [batch, kv_heads, n, width], once."""
        if not block.buffers:
            block.allocate(keys, values, self._room(max(keys.shape[2], self.length)))

    def extend(self, new: int) -> torch.Tensor | None:
        """Return the buffer with room for ``new`` more entries, which the caller writes; None without a common one."""
        if self.buffer is None or len(self.blocks) > 1 or len(self.blocks[0].buffers) > 1:
            return None
        end = self.length + new
        if end > self.buffer.shape[-2]:
            self.grow(end)
        for layer in self.layers:
            layer.length = end
        return self.buffer

    def grow(self, entries: int) -> None:
        """Provide buffers for ``entries``, which must not exceed the capacity, and keep what is held."""
        for block in self.blocks:
            block.buffers = [grown(buffer, self._room(entries), self.length) for buffer in block.buffers]
        for layer in self.layers:
            layer.view()

    def _room(self, entries: int) -> int:
        """Entries of a buffer that must hold ``entries``."""
        return min(self.capacity, entries + HEADROOM)

    def update(self, key_states, value_states, layer_idx, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        while layer_idx >= len(self.layers):  # a model may run some layers more than once
            self.layers.append(TreeLayer(self, self.add_block(1), 0))
        return super().update(key_states, value_states, layer_idx, *args, **kwargs)

    @property
    def length(self) -> int:
        """Entries in use."""
        return max(layer.length for layer in self.layers)

    @property
    def max_bytes(self) -> int:
        """Memory of the buffers."""
        return sum(buffer.nbytes for block in self.blocks for buffer in block.buffers)

    def layout(self, positions: Sequence[int], visible: torch.Tensor | None) -> PassLayout | None:
        if visible is None and not self._tail:
            return None  # an entry's index is its position
        text = self.length - len(self._tail)
        self._tail += positions
        if visible is None:
            visible = torch.ones(len(positions), len(positions), dtype=torch.bool).tril()
        entries = torch.cat((torch.arange(text), torch.tensor(self._tail)))
        return PassLayout(visible[None, None], torch.tensor(positions)[None], entries[None])

    def __deepcopy__(self, memo: dict[int, Any]) -> "TreeCache":
        if type(self) is not TreeCache:
            raise DynatreeError(f"a {type(self).__name__} cannot be copied; decode the prompt again")
        copy = memo[id(self)] = TreeCache(len(self.kinds), self.capacity, self.kinds)
        twins = {id(block): twin for block, twin in zip(self.blocks, copy.blocks, strict=False)}
        for block in self.blocks[len(copy.blocks) :]:
            twins[id(block)] = copy.add_block(block.layers)
        for block in self.blocks:
            twins[id(block)].buffers = [buffer.clone() for buffer in block.buffers]
        copy.layers = [TreeLayer(copy, twins[id(layer.block)], layer.place) for layer in self.layers]
        copy.rewind(self.length)
        copy._tail = list(self._tail)
        for layer, twin in zip(self.layers, copy.layers, strict=True):
            if layer.is_initialized:
                twin.view()
        return copy

    def rewind(self, length: int) -> None:
        """Drop all entries from ``length`` on; later forward passes overwrite them."""
        self._tail.clear()
        for layer in self.layers:
            layer.length = length

    def keep(self, start: int, entries: list[int]) -> None:
        """Keep, of the entries from ``start`` on, only ``entries`` (increasing), and move them to ``start``."""
        for block in self.blocks:
            for buffer in block.buffers:
                move_entries(buffer, start, entries)
        for layer in self.layers:
            if layer.indexer_keys is not None:
                move_entries(layer.indexer_keys, start, entries)
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
