"""Calibrated acceptance probabilities of proposals, from confidences and observed frequencies."""

from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

TABLE = "table"  # the source of n-grams counted in text of the target
SOURCES = ("model", "ngram", "recycling", TABLE)
MEMORY = "memory"  # the source that looks up past outputs
ALL_SOURCES = (*SOURCES, MEMORY)
TABLE_LENGTHS = (1, 2, 3)  # tokens of a context
MATCH_LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16)  # tokens of a match; the longest stands for all longer ones
ORIGINS = (  # source and kind, often a match length; recycling-0 is a runner-up of the last prediction
    "model",
    *(f"ngram-{n}" for n in MATCH_LENGTHS),
    "recycling-0",
    "recycling-1",
    "recycling-2",
    *(f"{TABLE}-{n}" for n in TABLE_LENGTHS),
    *(f"memory-{n}" for n in MATCH_LENGTHS),
    "memory-token",
    "memory-pair",
)
CONFIDENCE_EDGES = (0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97)
MAX_DEPTH, MAX_RANK = 3, 3  # larger depths and ranks share their statistics
PRIOR_WEIGHT = 6.0  # weight of the prior, in observations
DECAY = 0.997  # factor on the weight of earlier observations of a kind at each new one
BINS = 10

_RANKS = MAX_RANK + 1
_CONFIDENCES = len(CONFIDENCE_EDGES) + 1
_REFINED = MAX_DEPTH * len(ALL_SOURCES)  # fine kinds of a coarse one: depth and number of agreeing sources
_SOURCE_BITS = [1 << ALL_SOURCES.index(origin.split("-")[0]) for origin in ORIGINS for _ in range(_RANKS)]


class Proposal(NamedTuple):
    """A successor that a source proposes for a node.

    Attributes:
        token: token id.
        slot: origin and rank, see :func:`slot_of`.
        confidence: uncalibrated probability that the source assigns.
    """

    token: int
    slot: int
    confidence: float


class Estimate(NamedTuple):
    """The merged proposals of all sources for one token.

    Attributes:
        probability: calibrated probability that the target emits the token after the node.
        token: token id.
        kind: counts the outcome: origin, rank and confidence, refined by depth and number of agreeing sources.
        sources: bit ``i`` is set if ``ALL_SOURCES[i]`` proposed the token.
    """

    probability: float
    token: int
    kind: int
    sources: int


def slot_of(origin: str, rank: int) -> int:
    """Return the slot of a proposal.

    Args:
        origin: one of ``ORIGINS``.
        rank: rank among the proposals of the source for the same node, from 0.
    """
    return ORIGINS.index(origin) * _RANKS + min(rank, MAX_RANK)


@dataclass
class _Bin:
    """One bin of the calibration error."""

    trials: int = 0
    probability: float = 0.0  # summed over trials
    hits: int = 0


class _Counts:
    """Decayed observations by kind."""

    def __init__(self, kinds: int):
        self.trials = [0.0] * kinds
        self.hits = [0.0] * kinds

    def observe(self, kind: int, hit: bool) -> None:
        self.trials[kind] = self.trials[kind] * DECAY + 1
        self.hits[kind] = self.hits[kind] * DECAY + hit


class Calibration:
    """Relative frequencies by source, rank and confidence, refined by depth and the number of agreeing sources.

    The fine frequency is shrunk towards the coarse one, and the coarse one towards the confidence of the source. Old
    observations decay.
    """

    def __init__(self) -> None:
        kinds = len(_SOURCE_BITS) * _CONFIDENCES
        self._coarse = _Counts(kinds)
        self._fine = _Counts(kinds * _REFINED)
        self._bins = [_Bin() for _ in range(BINS)]

    def merge(self, proposals: Iterable[Proposal], depth: int) -> list[Estimate]:
        """Return one estimate for each proposed token of a node, most probable first; they sum to at most one.

        Args:
            proposals: the proposals of all sources for one node.
            depth: depth of the proposed children.
        """
        sources: dict[int, int] = {}
        for token, slot, _ in proposals:
            sources[token] = sources.get(token, 0) | _SOURCE_BITS[slot]
        coarse_trials, coarse_hits = self._coarse.trials, self._coarse.hits
        trials, hits = self._fine.trials, self._fine.hits
        refinement = (min(depth, MAX_DEPTH) - 1) * len(ALL_SOURCES) - 1
        best: dict[int, tuple[float, int]] = {}  # token -> probability and kind
        for token, slot, confidence in proposals:
            coarse = slot * _CONFIDENCES + bisect(CONFIDENCE_EDGES, confidence)
            kind = coarse * _REFINED + refinement + sources[token].bit_count()
            prior = (coarse_hits[coarse] + PRIOR_WEIGHT * confidence) / (coarse_trials[coarse] + PRIOR_WEIGHT)
            probability = (hits[kind] + PRIOR_WEIGHT * prior) / (trials[kind] + PRIOR_WEIGHT)
            if token not in best or probability > best[token][0]:
                best[token] = probability, kind
        total = max(1.0, sum([probability for probability, _ in best.values()]))
        merged = [Estimate(value / total, token, kind, sources[token]) for token, (value, kind) in best.items()]
        merged.sort(key=itemgetter(0), reverse=True)
        return merged

    def observe(self, estimates: Sequence[Estimate], emitted: int) -> None:
        """Record the outcome of the proposals for a node whose path was accepted.

        Args:
            estimates: of the node.
            emitted: the token that the target emitted after the node.
        """
        for probability, token, kind, _ in estimates:
            hit = token == emitted
            self._fine.observe(kind, hit)
            self._coarse.observe(kind // _REFINED, hit)
            entry = self._bins[min(int(probability * BINS), BINS - 1)]
            entry.trials += 1
            entry.probability += probability
            entry.hits += hit

    @property
    def error(self) -> float | None:
        """Expected calibration error over ten bins; None before the first observation."""
        trials = sum(entry.trials for entry in self._bins)
        return sum(abs(entry.probability - entry.hits) for entry in self._bins) / trials if trials else None
