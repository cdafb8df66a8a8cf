"""Proposals from an n-gram table, which need no forward pass and hold nothing of any request."""

from collections.abc import Sequence
from typing import ClassVar

from dynatree.drafting.lookup import slots_of
from dynatree.models.ngram_table import NGramTable
from dynatree.policies.calibration import MAX_RANK, TABLE, TABLE_LENGTHS, Proposal

SLOTS = [slots_of(f"{TABLE}-{n}") for n in TABLE_LENGTHS]


class TableLookup:
    """Proposals from an n-gram table.

    Args:
        table: of the target.
    """

    name: ClassVar[str] = TABLE
    recycles: ClassVar[bool] = False

    def __init__(self, table: NGramTable):
        self._table = table
        self._known: dict[tuple[int, ...], list[Proposal]] = {}  # by context, of this request

    def read(self, tokens: Sequence[int]) -> None:
        """Ignore the text; the table does not change."""

    def propose(self, context: tuple[int, ...], count: int) -> list[Proposal]:
        """Return at most ``count`` successors, see :meth:`dynatree.drafting.lookup.Lookup.propose`."""
        latest = self._table.known_end(context)
        if not latest:
            return []
        if latest not in self._known:
            slots = SLOTS[min(len(latest), len(SLOTS)) - 1]
            ranked = enumerate(self._table.successors_of(latest))
            self._known[latest] = [
                Proposal(token, slots[min(rank, MAX_RANK)], share) for rank, (token, share) in ranked
            ]
        return self._known[latest][:count]

    def observe(self, context: tuple[int, int], tokens: list[int], log_probs: list[float]) -> None:
        """Ignore the target's predictions; the table does not change."""

    def observe_root(self, tokens: list[int], log_probs: list[float]) -> None:
        """Ignore the target's predictions; the table does not change."""
