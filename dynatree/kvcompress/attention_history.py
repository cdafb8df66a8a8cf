"""What a method remembers of the attention in one layer, where trees are decoded.

Only tokens that end up in the text count: the attention of a drafted token waits until the token is accepted, and is
forgotten if it is not. So what is remembered depends on the text alone and not on what was drafted.
"""

import torch

from dynatree.kvcompress.methods.base import Kept, Method, gather_rows
from dynatree.models.attention import attention_weights, latest_weights


class Observer:
    """Observes one layer.

    Args:
        method: decides what is remembered.

    Attributes:
        remembered: [kv_heads, queries, rows], see :meth:`Method.observe`; None before anything was observed.
        waiting: first row and attention [kv_heads, n, rows] of passes over drafted tokens.
    """

    def __init__(self, method: Method):
        self.method = method
        self.remembered: torch.Tensor | None = None
        self.waiting: list[tuple[int, torch.Tensor]] = []

    def observe(self, query, key, mask: torch.Tensor | None, scaling: float | None, drafted: bool) -> None:
        """See a pass.

        Args:
            query, key, mask, scaling: see :func:`dynatree.models.attention.attention_weights`.
            drafted: whether tokens of the pass may turn out not to be in the text.
        """
        new, rows = query.shape[2], key.shape[2]
        if drafted:
            self.waiting.append((rows - new, attention_weights(query, key, mask, scaling, slice(0, new))))
            return
        for weights in latest_weights(query, key, mask, scaling, self.method.observed_queries):
            self._take(weights)

    def keep(self, start: int, rows: list[int]) -> None:
        """Of the rows from ``start`` on, ``rows`` are in the text, and the others are gone."""
        stays = [*range(start), *rows]
        for first, weights in self.waiting:
            end = first + weights.shape[1]
            queries = [row - first for row in stays if first <= row < end]
            if queries:
                self._take(weights[:, queries][:, :, [row for row in stays if row < end]])
        self.waiting = []

    def lengthened(self, rows: int) -> torch.Tensor | None:
        """What is remembered, for all ``rows``: new ones have received no attention."""
        if self.remembered is None:
            return None
        return torch.nn.functional.pad(self.remembered, (0, rows - self.remembered.shape[2]))

    def evict(self, kept: Kept, rows: int) -> None:
        """Of all ``rows`` only the ``kept`` ones stay."""
        self.remembered = gather_rows(self.lengthened(rows).transpose(1, 2), kept).transpose(1, 2)

    def tensors(self) -> list[torch.Tensor]:
        """Everything that is held."""
        held = [weights for _, weights in self.waiting]
        return held if self.remembered is None else [*held, self.remembered]

    def _take(self, weights: torch.Tensor) -> None:
        self.remembered = self.method.observe(self.lengthened(weights.shape[2]), weights)
