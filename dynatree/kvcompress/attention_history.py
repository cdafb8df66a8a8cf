"""The attention that one layer's cache entries have received, as far as a compression method uses it.

Only tokens that end up in the text count. The attention of a drafted token is pending until the token is accepted and
is dropped if it is rejected. The history therefore depends on the text alone, not on the drafted trees.
"""

import torch

from dynatree.kvcompress.methods.base import Kept, Method, gather_entries
from dynatree.models.attention import attention_weights, latest_weights


class AttentionHistory:
    """The attention in one layer.

    Args:
        method: the compression method, which reduces attention weights to what it uses.

    Attributes:
        observed: [kv_heads, queries, entries], see :meth:`Method.observe`; None before the first forward pass.
        pending: first new entry and attention [kv_heads, n, entries] of each pass over drafted tokens.
    """

    def __init__(self, method: Method):
        self.method = method
        self.observed: torch.Tensor | None = None
        self.pending: list[tuple[int, torch.Tensor]] = []

    def observe(self, query, key, mask: torch.Tensor | None, scaling: float | None, drafted: bool = False) -> None:
        """Add the attention of a forward pass.

        Args:
            query, key, mask, scaling: see :func:`dynatree.models.attention.attention_weights`.
            drafted: True if tokens of the pass may be rejected.
        """
        new, entries = query.shape[2], key.shape[2]
        if drafted:
            weights = attention_weights(query, key, mask, scaling, slice(0, new)).mean(dim=1)
            self.pending.append((entries - new, weights))
            return
        for weights in latest_weights(query, key, mask, scaling, self.method.observed_queries):
            self._add(weights)

    def keep(self, start: int, entries: list[int]) -> None:
        """Settle the pending attention: of the entries from ``start`` on, only ``entries`` are in the text."""
        stays = [*range(start), *entries]
        for first, weights in self.pending:
            end = first + weights.shape[1]
            queries = [entry - first for entry in stays if first <= entry < end]
            if queries:
                self._add(weights[:, queries][:, :, [entry for entry in stays if entry < end]])
        self.pending = []

    def padded(self, entries: int) -> torch.Tensor | None:
        """Return what was observed as [kv_heads, queries, entries]; new entries have received no attention."""
        if self.observed is None:
            return None
        return torch.nn.functional.pad(self.observed, (0, entries - self.observed.shape[2]))

    def evict(self, kept: Kept, entries: int) -> None:
        """Drop all of ``entries`` entries except the ``kept`` ones."""
        observed = self.padded(entries)
        if observed is not None:
            self.observed = gather_entries(observed.transpose(1, 2), kept).transpose(1, 2)

    def tensors(self) -> list[torch.Tensor]:
        """Return all tensors held."""
        held = [weights for _, weights in self.pending]
        return held if self.observed is None else [*held, self.observed]

    def _add(self, weights: torch.Tensor) -> None:
        self.observed = self.method.observe(self.padded(weights.shape[2]), weights)
