"""Drafts without a model: successors looked up in the text and in earlier predictions of the target."""

from collections.abc import Sequence
from itertools import islice
from math import exp
from typing import ClassVar, Protocol

from dynatree.policies.calibration import MAX_RANK, Proposal, slot_of

MATCH_CONFIDENCE = (0.1, 0.3, 0.5, 0.65)  # initial confidence of a match of 1, 2, ... tokens
PAIR_SHARE, TOKEN_SHARE = 0.7, 0.4  # share of an old probability that holds after the same pair or token
CONTEXT = len(MATCH_CONFIDENCE)  # latest tokens that a lookup depends on


def _slots(origin: str) -> list[int]:
    return [slot_of(origin, rank) for rank in range(MAX_RANK + 1)]


MATCH_SLOTS = [_slots(f"ngram-{n}") for n in range(1, CONTEXT + 1)]
PAIR_SLOTS, TOKEN_SLOTS = _slots("recycling-2"), _slots("recycling-1")


class Lookup(Protocol):
    """A source of proposals that needs no model.

    Attributes:
        name: source of the proposals.
        recycles: True if :meth:`observe` stores the target's successors of verified nodes.
    """

    name: ClassVar[str]
    recycles: ClassVar[bool]

    def read(self, tokens: Sequence[int]) -> None:
        """Append tokens of the prompt or of the output."""
        ...

    def propose(self, context: tuple[int, ...], count: int) -> list[Proposal]:
        """Return at most ``count`` successors.

        Args:
            context: the last ``CONTEXT`` tokens of the text and a drafted path, or all if they are fewer.
            count: maximum number of proposals.
        """
        ...

    def observe(self, context: tuple[int, int], tokens: list[int], log_probs: list[float]) -> None:
        """Record the target's most likely successors of a verified node.

        Args:
            context: the token before the node and its own.
            tokens: the successors, best first.
            log_probs: their log-probabilities.
        """
        ...


class NGramLookup:
    """Successors of the latest tokens at their earlier occurrences in the prompt and the output.

    The longest match comes first, then the latest (prompt lookup decoding, Saxena 2023). A drafted path is part of the
    context, so a match continues along it.
    """

    name: ClassVar[str] = "ngram"
    recycles: ClassVar[bool] = False

    def __init__(self) -> None:
        self._latest: tuple[int, ...] = ()
        self._successors: dict[tuple[int, ...], dict[int, None]] = {}  # n-gram -> its successors, the latest last

    def read(self, tokens: Sequence[int]) -> None:
        """Append tokens of the prompt or of the output."""
        latest = self._latest
        for token in tokens:
            for n in range(1, len(latest) + 1):
                found = self._successors.setdefault(latest[-n:], {})
                found.pop(token, None)
                found[token] = None
            latest = (*latest, token)[-CONTEXT:]
        self._latest = latest

    def propose(self, context: tuple[int, ...], count: int) -> list[Proposal]:
        """Return at most ``count`` successors, see :meth:`Lookup.propose`."""
        matches: list[dict[int, None]] = []
        for n in range(1, len(context) + 1):
            found = self._successors.get(context[-n:])
            if found is None:  # longer matches contain this one
                break
            matches.append(found)
        proposals: list[Proposal] = []
        seen: set[int] = set()
        for n in range(len(matches), 0, -1):
            for token in reversed(matches[n - 1]):
                if token not in seen:
                    if len(seen) == count:
                        return proposals
                    slot = MATCH_SLOTS[n - 1][min(len(seen), MAX_RANK)]
                    proposals.append(Proposal(token, slot, MATCH_CONFIDENCE[n - 1] / (1 + len(seen))))
                    seen.add(token)
        return proposals

    def observe(self, context: tuple[int, int], tokens: list[int], log_probs: list[float]) -> None:
        """Ignore the target's predictions; only emitted tokens count."""


class Recycling:
    """The target's most likely successors at the latest occurrence of a token, or of two in a row.

    Token Recycling (Luo et al., 2024) stores them by the last token. Stored by the last two, they hold more often.
    """

    name: ClassVar[str] = "recycling"
    recycles: ClassVar[bool] = True

    def __init__(self) -> None:
        self._table: dict[tuple[int, ...], tuple[list[int], list[float]]] = {}

    def read(self, tokens: Sequence[int]) -> None:
        """Ignore the text; :meth:`observe` records its predictions."""

    def propose(self, context: tuple[int, ...], count: int) -> list[Proposal]:
        """Return at most ``count`` successors, see :meth:`Lookup.propose`."""
        for key, share, slots in ((context[-2:], PAIR_SHARE, PAIR_SLOTS), (context[-1:], TOKEN_SHARE, TOKEN_SLOTS)):
            if found := self._table.get(key):
                ranked = enumerate(zip(*found, strict=True))
                return [
                    Proposal(token, slots[min(rank, MAX_RANK)], share * exp(log_prob))
                    for rank, (token, log_prob) in islice(ranked, count)
                ]
        return []

    def observe(self, context: tuple[int, int], tokens: list[int], log_probs: list[float]) -> None:
        """Store the target's most likely successors of a verified node and the token before it."""
        self._table[context] = self._table[context[-1:]] = (tokens, log_probs)


LOOKUPS: dict[str, type[NGramLookup] | type[Recycling]] = {lookup.name: lookup for lookup in (NGramLookup, Recycling)}
