"""Which entries each token of a forward pass attends to, as a few integers per token instead of a mask."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dynatree.models.layout import MaskFunction

WORDS = 8  # of each token
TREE_ENTRIES = 64 * WORDS  # latest entries that words distinguish
SCALARS = 4


@dataclass
class AncestorWords:
    """The entries that each token attends to.

    A token attends to all entries before its limit. Beyond it, it attends to the entries whose bits are set in its
    words. A chain needs no words. Padding tokens attend to entry 0 only.

    Attributes:
        scalars: int64 [4]: entry of the first bit, number of entries with bits (0 for a chain), entries in use with the
            new tokens, and entries before them.
        limits: int64 [n], see above.
        bits: int64 [n, words], the lowest bit first.
    """

    scalars: torch.Tensor
    limits: torch.Tensor
    bits: torch.Tensor
    _mask: torch.Tensor | None = field(default=None, repr=False)

    def mask(self, entries: int) -> torch.Tensor:
        """Return the mask as a boolean [1, 1, n, entries]."""
        if self._mask is None:
            start, tree = self.scalars[0], self.scalars[1]
            entry = torch.arange(entries, device=self.bits.device)
            bit = entry - start
            place = bit.clamp(0, 64 * self.bits.shape[1] - 1)
            is_set = self.bits.index_select(1, place // 64) >> (place % 64) & 1
            in_tree = is_set.bool() & (bit >= 0) & (bit < tree)
            self._mask = ((entry < self.limits[:, None]) | in_tree)[None, None]
        return self._mask

    def attend(
        self, layer: int, query: Any, key: torch.Tensor, scaling: float | None, window: MaskFunction | None
    ) -> torch.Tensor:
        """Return the mask of a layer that the kernel does not serve."""
        assert window is None, "layers with windows are not recorded"
        return self.mask(key.shape[2])


def pack_words(
    visible: torch.Tensor | None, length: int, width: int, new: int | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the scalars, the limits and the bits of :class:`AncestorWords` for a forward pass, on the host.

    Args:
        visible: boolean [new, m]: which of the last ``m`` entries, the new ones included, each new token attends to.
            All earlier entries are visible. None for a chain.
        length: entries before the forward pass.
        width: tokens of the forward pass, padding included.
        new: new tokens; None for a forward pass without padding.
    """
    new = width if new is None else new
    limits = np.ones(width, np.int64)
    bits = np.zeros((width, WORDS), np.int64)
    end = length + new
    if visible is None:
        limits[:new] = np.arange(length + 1, end + 1)
        return torch.tensor([0, 0, end, length]), torch.from_numpy(limits), torch.from_numpy(bits)
    tree = visible.shape[1]
    limits[:new] = end - tree
    packed = np.packbits(visible.numpy(), axis=1, bitorder="little")
    bits.view(np.uint8)[:new, : packed.shape[1]] = packed
    scalars = torch.tensor([end - tree, tree, end, length])
    return scalars, torch.from_numpy(limits), torch.from_numpy(bits)
