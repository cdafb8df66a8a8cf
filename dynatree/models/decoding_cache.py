"""The interface of a key/value cache that trees are decoded with."""

import sys
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from dynatree.models.layout import PassLayout


class DecodingCache(Protocol):
    """Keys and values of one request.

    An entry is named by the index of its token in the text. The defaults are those of a cache that never evicts.
    """

    @property
    def length(self) -> int:
        """Tokens of the request so far, evicted ones included."""
        ...

    @property
    def max_bytes(self) -> int:
        """Largest memory held so far."""
        ...

    def keep(self, start: int, entries: list[int]) -> None:
        """Keep, of the entries from ``start`` on, only ``entries``, and move them to ``start``.

        Args:
            start: first entry of the verified tree.
            entries: increasing entries of the accepted path.
        """
        ...

    @property
    def entries(self) -> int:
        """Entries in use; the largest number of any layer."""
        return self.length

    @property
    def evicted(self) -> int:
        """Tokens without an entry."""
        return 0

    @property
    def shift(self) -> int:
        """Offset between the index of a new token in the text and its position id."""
        return 0

    @property
    def is_shared(self) -> bool:
        """True for a part of the cache of a batch, whose forward passes serve several requests."""
        return False

    @property
    def capacity_left(self) -> int:
        """Tokens that the text may grow by before entries are evicted."""
        return sys.maxsize

    @property
    def compressed(self) -> Any:
        """The cache itself if each layer has a mask of its own, see :mod:`dynatree.models.layout`; else None."""
        return None

    def layout(self, positions: Sequence[int], visible: torch.Tensor | None) -> PassLayout | None:
        """Prepare a forward pass over new tokens, and return its layout; None where causal attention is right.

        Args:
            positions: index of each new token in the text.
            visible: boolean [n, m]: which of the last ``m`` entries, the new ones included, each new token attends to.
                All earlier entries are visible. None for a chain.
        """
        return None
