"""Drafts without a model: successors looked up in the text and in earlier predictions of the target."""

from bisect import bisect
from collections.abc import Sequence
from itertools import islice
from math import exp
from typing import ClassVar, Protocol

from dynatree.policies.calibration import MATCH_LENGTHS, MAX_RANK, Proposal, slot_of

MATCH_CONFIDENCE = (0.1, 0.3, 0.5, 0.65, 0.75, 0.8, 0.85, 0.9)  # initial confidence of a match of each length
PAIR_SHARE, TOKEN_SHARE = 0.7, 0.4  # share of an old probability that holds after the same pair or token
RUNNER_UP_SHARE = 0.5  # share of the probability of a runner-up that it has as the token after the winner
CONTEXT = MATCH_LENGTHS[-1]  # latest tokens that a lookup depends on

Predictions = tuple[list[int], list[float]]
"""The target's most likely tokens at one place and their log-probabilities, best first."""


def slots_of(origin: str) -> list[int]:
    """Return the slots of an origin by rank, see :func:`dynatree.policies.calibration.slot_of`."""
    return [slot_of(origin, rank) for rank in range(MAX_RANK + 1)]


MATCH_SLOTS = [slots_of(f"ngram-{n}") for n in MATCH_LENGTHS]
PAIR_SLOTS, TOKEN_SLOTS, RUNNER_UP_SLOTS = slots_of("recycling-2"), slots_of("recycling-1"), slots_of("recycling-0")


def match_lengths(context: tuple[int, ...]) -> Sequence[int]:
    """Return the match lengths that a context is long enough for, shortest first."""
    return MATCH_LENGTHS[: bisect(MATCH_LENGTHS, len(context))]


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

    def observe_root(self, tokens: list[int], log_probs: list[float]) -> None:
        """Record the predictions from which the next root was chosen.

        Args:
            tokens: the most likely tokens in the place of the root, itself first.
            log_probs: their log-probabilities.
        """
        ...


class NGramLookup:
    """Successors of the latest tokens at their earlier occurrences in the prompt and the output.

    The longest match comes first, then the latest (prompt lookup decoding, Saxena 2023). A drafted path is part of the
    context, so a match continues along it.

    Args:
        successors: n-gram -> its successors, the latest last; a new table by default.
        slots: of the proposals, by match length and rank.
    """

    name: ClassVar[str] = "ngram"
    recycles: ClassVar[bool] = False

    def __init__(
        self, successors: dict[tuple[int, ...], dict[int, None]] | None = None, slots: Sequence[list[int]] = MATCH_SLOTS
    ) -> None:
        self._latest: tuple[int, ...] = ()
        self._successors = {} if successors is None else successors
        self._slots = slots

    def read(self, tokens: Sequence[int]) -> None:
        """Append tokens of the prompt or of the output."""
        latest = self._latest
        for token in tokens:
            for n in match_lengths(latest):
                found = self._successors.setdefault(latest[-n:], {})
                found.pop(token, None)
                found[token] = None
            latest = (*latest, token)[-CONTEXT:]
        self._latest = latest

    def propose(self, context: tuple[int, ...], count: int) -> list[Proposal]:
        """Return at most ``count`` successors, see :meth:`Lookup.propose`."""
        matches: list[dict[int, None]] = []
        for n in match_lengths(context):
            found = self._successors.get(context[-n:])
            if found is None:  # longer matches contain this one
                break
            matches.append(found)
        proposals: list[Proposal] = []
        seen: set[int] = set()
        for place in range(len(matches) - 1, -1, -1):
            for token in reversed(matches[place]):
                if token not in seen:
                    if len(seen) == count:
                        return proposals
                    slot = self._slots[place][min(len(seen), MAX_RANK)]
                    proposals.append(Proposal(token, slot, MATCH_CONFIDENCE[place] / (1 + len(seen))))
                    seen.add(token)
        return proposals

    def observe(self, context: tuple[int, int], tokens: list[int], log_probs: list[float]) -> None:
        """Ignore the target's predictions; only emitted tokens count."""

    def observe_root(self, tokens: list[int], log_probs: list[float]) -> None:
        """Ignore the target's predictions; only emitted tokens count."""


class Recycling:
    """Earlier predictions of the target as successors.

    Token Recycling (Luo et al., 2024) stores the most likely successors by the last token. Stored by the last two, they
    hold more often. After the root, the tokens that were almost chosen in its place are also likely (LogitSpec, Liu et
    al., 2025).
    """

    name: ClassVar[str] = "recycling"
    recycles: ClassVar[bool] = True

    def __init__(self) -> None:
        self._table: dict[tuple[int, ...], Predictions] = {}
        self._root: tuple[int, ...] = ()  # the latest tokens of the text
        self._runners_up: Predictions = ([], [])

    def read(self, tokens: Sequence[int]) -> None:
        """Append tokens of the prompt or of the output; :meth:`observe` records the predictions."""
        self._root = (*self._root, *tokens[-CONTEXT:])[-CONTEXT:]

    def propose(self, context: tuple[int, ...], count: int) -> list[Proposal]:
        """Return at most ``count`` successors of each kind, see :meth:`Lookup.propose`."""
        table = self._table
        if found := table.get(context[-2:]):
            proposals = recycled(found, PAIR_SHARE, PAIR_SLOTS, count)
        else:
            proposals = recycled(table.get(context[-1:], ([], [])), TOKEN_SHARE, TOKEN_SLOTS, count)
        if context == self._root:
            proposals += recycled(self._runners_up, RUNNER_UP_SHARE, RUNNER_UP_SLOTS, count)
        return proposals

    def observe_root(self, tokens: list[int], log_probs: list[float]) -> None:
        """Store the tokens that were almost chosen in place of the next root."""
        self._runners_up = tokens[1:], log_probs[1:]

    def observe(self, context: tuple[int, int], tokens: list[int], log_probs: list[float]) -> None:
        """Store the target's most likely successors of a verified node and the token before it."""
        self._table[context] = self._table[context[-1:]] = (tokens, log_probs)


def recycled(found: Predictions, share: float, slots: list[int], count: int) -> list[Proposal]:
    """Return earlier predictions as proposals.

    Args:
        found: the predictions.
        share: share of an old probability that holds here.
        slots: of the proposals, by rank.
        count: maximum number of proposals.
    """
    ranked = enumerate(zip(*found, strict=True))
    return [
        Proposal(token, slots[min(rank, MAX_RANK)], share * exp(log_prob))
        for rank, (token, log_prob) in islice(ranked, count)
    ]


LOOKUPS: dict[str, type[NGramLookup] | type[Recycling]] = {lookup.name: lookup for lookup in (NGramLookup, Recycling)}
