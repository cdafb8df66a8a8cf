"""Calibrated acceptance probabilities of proposals, from confidences and observed frequencies."""

from bisect import bisect
from dataclasses import dataclass
from typing import NamedTuple

CONFIDENCE_EDGES = (0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97)
MAX_DEPTH, MAX_RANK = 3, 3  # larger depths and ranks share their statistics
PRIOR_WEIGHT = 6.0  # weight of the prior, in observations
DECAY = 0.997  # factor on the weight of earlier observations of a kind at each new one
BINS = 10

Kind = tuple[str | int, ...]  # source, rank and confidence bin; a fine kind adds depth and agreeing sources


class Proposal(NamedTuple):
    """A successor that a source proposes for a node.

    Attributes:
        token: token id.
        source: name of the source.
        rank: rank among the proposals of the source for the same node, from 0.
        confidence: uncalibrated probability that the source assigns.
    """

    token: int
    source: str
    rank: int
    confidence: float


@dataclass(slots=True)
class Estimate:
    """The merged proposals of all sources for one token.

    Attributes:
        token: token id.
        probability: calibrated probability that the target emits the token after the node.
        kinds: the coarse and the fine kind that count the outcome.
        confidence: confidence of the proposal that determined the probability.
    """

    token: int
    probability: float
    kinds: tuple[Kind, Kind]
    confidence: float


@dataclass(slots=True)
class _Counts:
    """Decayed observations of one kind."""

    trials: float = 0.0
    hits: float = 0.0


@dataclass
class _Bin:
    """One bin of the calibration error."""

    trials: int = 0
    probability: float = 0.0  # summed over trials
    hits: int = 0


class Calibration:
    """Relative frequencies by source, rank and confidence, refined by depth and the number of agreeing sources.

    The fine frequency is shrunk towards the coarse one, and the coarse one towards the confidence of the source. Old
    observations decay.
    """

    def __init__(self) -> None:
        self._counts: dict[Kind, _Counts] = {}
        self._bins = [_Bin() for _ in range(BINS)]

    def merge(self, proposals: list[Proposal], depth: int) -> list[Estimate]:
        """Return one estimate for each proposed token of a node, most probable first; they sum to at most one.

        Args:
            proposals: the proposals of all sources for one node.
            depth: depth of the proposed children.
        """
        by_token: dict[int, list[Proposal]] = {}
        for proposal in proposals:
            by_token.setdefault(proposal.token, []).append(proposal)
        merged = [
            max((self._estimate(one, depth, len(same)) for one in same), key=lambda estimate: estimate.probability)
            for same in by_token.values()
        ]
        merged.sort(key=lambda estimate: -estimate.probability)
        total = sum(estimate.probability for estimate in merged)
        if total > 1:
            for estimate in merged:
                estimate.probability /= total
        return merged

    def observe(self, estimate: Estimate, hit: bool) -> None:
        """Record whether the target emitted the proposed token, given that the path to its parent was accepted."""
        for kind in estimate.kinds:
            counts = self._counts.setdefault(kind, _Counts())
            counts.trials = counts.trials * DECAY + 1
            counts.hits = counts.hits * DECAY + hit
        entry = self._bins[min(int(estimate.probability * BINS), BINS - 1)]
        entry.trials += 1
        entry.probability += estimate.probability
        entry.hits += hit

    @property
    def error(self) -> float | None:
        """Expected calibration error over ten bins; None before the first observation."""
        trials = sum(entry.trials for entry in self._bins)
        return sum(abs(entry.probability - entry.hits) for entry in self._bins) / trials if trials else None

    def _estimate(self, proposal: Proposal, depth: int, agreeing: int) -> Estimate:
        coarse = (proposal.source, min(proposal.rank, MAX_RANK), bisect(CONFIDENCE_EDGES, proposal.confidence))
        fine = (*coarse, min(depth, MAX_DEPTH), agreeing)
        probability = self._frequency(fine, self._frequency(coarse, proposal.confidence))
        return Estimate(proposal.token, probability, (coarse, fine), proposal.confidence)

    def _frequency(self, kind: Kind, prior: float) -> float:
        if kind not in self._counts:
            return prior
        counts = self._counts[kind]
        return (counts.hits + PRIOR_WEIGHT * prior) / (counts.trials + PRIOR_WEIGHT)
