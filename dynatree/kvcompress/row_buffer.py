"""Rows of layers that hold equally many: what was kept of the text, and behind it a tail that is still whole."""

from collections.abc import Callable

import torch

from dynatree.kvcompress.methods.base import Kept, gather_rows
from dynatree.kvcompress.rotary import rotate_keys
from dynatree.models.kv_cache import TreeCache
from dynatree.models.masks import tree_mask

Select = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], Kept]


class Rows(TreeCache):
    """Some layers of a `CompressedTreeCache`, in one buffer that grows and shrinks.

    Args:
        indices: the layers, by their place in the model.
        slack: rows that the tail needs.
        frequencies: of the rotary embedding if kept keys are rotated to consecutive positions, else None.

    Attributes:
        offset: tokens evicted: a row of the tail at ``row`` is token ``row + offset`` of the text.
    """

    def __init__(self, indices: list[int], slack: int, frequencies: torch.Tensor | None):
        super().__init__(len(indices), 0)
        self.indices = indices
        self.slack = slack
        self.frequencies = frequencies
        self.offset = 0
        self._kept: torch.Tensor | None = None  # [layers, kv_heads, rows] places in the text of rows before the tail
        self._filling: torch.Tensor | None = None  # boolean [kv_heads, rows]: rows that a head lacks; None for none

    def reserve(self, new: int) -> None:
        """Make sure that ``new`` more rows fit."""
        if self.length + new > self.capacity:
            self._move(self.length + new + (self.slack if self.length else 0))

    def mask(self, new: int, visible: torch.Tensor | None) -> torch.Tensor | None:
        """The mask [1, 1 or kv_heads, new, rows] of a pass, see :meth:`dynatree.models.kv_cache.TreeCache.mask`."""
        mask = tree_mask(new, visible, self.length)
        if self._filling is None:
            return mask
        if mask is None:
            mask = torch.ones(1, 1, new, self.length + new, dtype=torch.bool)
        mask = mask.repeat(1, len(self._filling), 1, 1)
        mask[0, :, :, : self._filling.shape[1]] &= ~self._filling[:, None]
        return mask

    def evict(self, select: Select) -> list[Kept] | None:
        """Keep what ``select`` says of all rows; returns it for each layer, None if nothing is evicted.

        Args:
            select: takes a layer's place in the model, its keys and values [kv_heads, rows, head_dim] and the places of
                its rows in the text [kv_heads, rows]; -1 where a head lacks a row.
        """
        length, places = self.length, self._places()
        states = self.buffer[:, 0, :, :length]  # [2 * layers, kv_heads, rows, head_dim]
        kept = [select(index, states[2 * i], states[2 * i + 1], places[i]) for i, index in enumerate(self.indices)]
        most = max(map(_count, kept))
        if most == length and not isinstance(kept[0], list):
            return None
        gathered = [gather_rows(states[row], kept[row // 2]) for row in range(len(states))]
        self._kept = torch.stack([gather_rows(line, rows, fill=-1) for line, rows in zip(places, kept, strict=True)])
        self._turn(gathered, kept)
        self._fit(most)
        for row, rows in enumerate(gathered):
            self.buffer[row, 0, :, :most] = rows
        self.rewind(most)
        self.offset += length - most
        self._filling = None
        if isinstance(kept[0], list) and len(set(map(len, kept[0]))) > 1:
            self._filling = (self._kept[0] < 0).cpu()
        return kept

    def bytes(self) -> int:
        """Memory held: the whole buffer, and the places of the rows."""
        return sum(tensor.nbytes for tensor in (self.buffer, self._kept, self._filling) if tensor is not None)

    def _places(self) -> torch.Tensor:
        """Places in the text [layers, kv_heads, rows] of all rows."""
        layers, heads = len(self.indices), self.buffer.shape[2]
        kept = 0 if self._kept is None else self._kept.shape[2]
        tail = torch.arange(kept + self.offset, self.length + self.offset, device=self.buffer.device)
        tail = tail.expand(layers, heads, -1)
        return tail if self._kept is None else torch.cat((self._kept, tail), dim=2)

    def _turn(self, gathered: list[torch.Tensor], kept: list[Kept]) -> None:
        """Rotate kept keys from the rows where they were to those where they will be."""
        if self.frequencies is None:
            return
        for i, rows in enumerate(kept):
            shift = torch.arange(rows.shape[-1], device=rows.device) - rows
            gathered[2 * i] = rotate_keys(gathered[2 * i], shift, self.frequencies)

    def _fit(self, rows: int) -> None:
        """A buffer for ``rows`` and the tail, without content if it is another one."""
        needed = rows + self.slack
        if not needed <= self.capacity <= needed + self.slack:
            self.rewind(0)
            self._move(needed)

    def _move(self, capacity: int) -> None:
        """Move what is held to a buffer of ``capacity`` rows."""
        before, self.buffer, self.capacity = self.buffer, None, capacity
        for layer in self.layers:
            layer.is_initialized = False
            layer.keys = layer.values = None  # views of the old buffer, which would keep it in memory
        if before is not None:
            self.allocate(before[0])
            self.buffer[..., : self.length, :] = before[..., : self.length, :]


def _count(kept: Kept) -> int:
    return max(map(len, kept)) if isinstance(kept, list) else kept.shape[-1]
