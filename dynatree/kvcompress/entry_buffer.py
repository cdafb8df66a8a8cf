"""A buffer for layers of equal length: entries kept by a method, followed by a tail that is not compressed yet."""

from collections.abc import Callable, Sequence

import torch

from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Kept, gather_entries
from dynatree.kvcompress.rotary import Rotation, rotate_keys
from dynatree.models.kv_cache import Block, TreeCache
from dynatree.models.masks import tree_mask

Select = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], Kept]


class EntryBuffer(TreeCache):
    """Some layers of a `CompressedTreeCache`, in one buffer that grows and shrinks.

    Args:
        indices: the layers, by their index in the model.
        slack: entries that the tail needs.
        rotation: of the layers if kept keys are rotated to consecutive positions, else None.

    Attributes:
        offset: tokens evicted. The tail's entry ``i`` is token ``i + offset`` of the text.
    """

    def __init__(self, indices: list[int], slack: int, rotation: Rotation | None):
        super().__init__(len(indices), 0)
        self.indices = indices
        self.slack = slack
        self.rotation = rotation
        self.offset = 0
        self._kept: torch.Tensor | None = None  # [layers, kv_heads, entries] text index of each entry before the tail
        self._filling: torch.Tensor | None = None  # boolean [kv_heads, entries]: entries that a head lacks, if any

    def reserve(self, new: int) -> None:
        """Make sure that ``new`` more entries fit."""
        if self.length + new > self.capacity:
            self._move(self.length + new + (self.slack if self.length else 0))

    def _room(self, entries: int) -> int:
        return self.capacity  # it moves to another buffer by itself

    def allocate(self, block: Block, keys: torch.Tensor, values: torch.Tensor) -> None:
        if keys.shape != values.shape:
            raise DynatreeError(
                f"keys and values have the widths {keys.shape[-1]} and {values.shape[-1]}, which no compressed cache "
                "serves; leave out draft_cache and target_cache"
            )
        super().allocate(block, keys, values)

    def part_mask(self, positions: Sequence[int], visible: torch.Tensor | None) -> torch.Tensor | None:
        """Return the mask [1, 1 or kv_heads, n, entries] of a forward pass over tokens at some positions of the text.

        Args:
            positions: index of each new token in the text.
            visible: see :func:`dynatree.models.masks.tree_mask`.
        """
        new = len(positions)
        self._tail += positions
        mask = tree_mask(new, visible, self.length)
        if self._filling is None:
            return mask
        if mask is None:
            mask = torch.ones(1, 1, new, self.length + new, dtype=torch.bool)
        mask = mask.repeat(1, len(self._filling), 1, 1)
        mask[0, :, :, : self._filling.shape[1]] &= ~self._filling[:, None]
        return mask

    def entry_positions(self, index: int) -> torch.Tensor:
        """Return the positions [kv_heads, entries] of all entries of a layer, in a forward pass also the new ones.

        Args:
            index: index of the layer in the model.
        """
        places = self._places()[self.indices.index(index)].clone()
        if self.rotation is not None:
            places = torch.arange(places.shape[1], device=places.device).expand_as(places).clone()
        if self._tail:
            shift = self.offset if self.rotation is not None else 0
            places[:, -len(self._tail) :] = torch.tensor(self._tail, device=places.device) - shift
        return places

    def evict(self, select: Select) -> list[Kept] | None:
        """Keep only the entries that ``select`` returns.

        Args:
            select: takes a layer's index in the model, its keys and values [kv_heads, entries, head_dim], and the index
                of each entry in the text [kv_heads, entries], -1 where a head lacks an entry.

        Returns:
            The kept entries of each layer; None if nothing is evicted.
        """
        length, places = self.length, self._places()
        states = self._buffer[:, 0, :, :length]  # [2 * layers, kv_heads, entries, head_dim]
        kept = [select(index, states[2 * i], states[2 * i + 1], places[i]) for i, index in enumerate(self.indices)]
        longest = max(map(_count, kept))
        if longest == length and not isinstance(kept[0], list):
            return None
        gathered = [gather_entries(states[i], kept[i // 2]) for i in range(len(states))]
        self._kept = torch.stack([gather_entries(line, each, fill=-1) for line, each in zip(places, kept, strict=True)])
        self._rotate(gathered, kept)
        self._fit(longest)
        for i, entries in enumerate(gathered):
            self._buffer[i, 0, :, :longest] = entries
        self.rewind(longest)
        self.offset += length - longest
        self._filling = None
        if isinstance(kept[0], list) and len(set(map(len, kept[0]))) > 1:
            self._filling = (self._kept[0] < 0).cpu()
        return kept

    def bytes(self) -> int:
        """Return the memory held: the complete buffer, and the text indices of the entries."""
        return sum(tensor.nbytes for tensor in (self.buffer, self._kept, self._filling) if tensor is not None)

    @property
    def _buffer(self) -> torch.Tensor:
        assert self.buffer is not None, "the buffer exists after the first forward pass"
        return self.buffer

    def _places(self) -> torch.Tensor:
        """Text indices [layers, kv_heads, entries] of all entries."""
        layers, heads = len(self.indices), self._buffer.shape[2]
        kept = 0 if self._kept is None else self._kept.shape[2]
        tail = torch.arange(kept + self.offset, self.length + self.offset, device=self._buffer.device)
        tail = tail.expand(layers, heads, -1)
        return tail if self._kept is None else torch.cat((self._kept, tail), dim=2)

    def _rotate(self, gathered: list[torch.Tensor], kept: list[Kept]) -> None:
        """Rotate kept keys from their former entries to their new ones."""
        if self.rotation is None:
            return
        for i, entries in enumerate(kept):
            assert isinstance(entries, torch.Tensor), "no method both rotates keys and keeps heads of different length"
            shift = torch.arange(entries.shape[-1], device=entries.device) - entries
            gathered[2 * i] = rotate_keys(gathered[2 * i], shift, *self.rotation)

    def _fit(self, entries: int) -> None:
        """Provide a buffer for ``entries`` and the tail; a new buffer is empty."""
        needed = entries + self.slack
        if not needed <= self.capacity <= needed + self.slack:
            self.rewind(0)
            self._move(needed)

    def _move(self, capacity: int) -> None:
        """Move what is held to a buffer of ``capacity`` entries."""
        before, self.blocks[0].buffers, self.capacity = self.buffer, [], capacity
        for layer in self.layers:
            layer.is_initialized = False
            layer.keys = layer.values = None  # views of the old buffer, which would hold it in memory
        if before is not None:
            self.allocate(self.blocks[0], before[0], before[0])
            self._buffer[..., : self.length, :] = before[..., : self.length, :]


def _count(kept: Kept) -> int:
    return max(map(len, kept)) if isinstance(kept, list) else kept.shape[-1]
