"""How often proposals of a kind turn out right: draft confidences turned into probabilities while decoding."""

from bisect import bisect
from dataclasses import dataclass

EDGES = (0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97)
DEEPEST, LAST_RANK = 3, 3
PRIOR_WEIGHT = 6.0  # observations that a prior is worth
MEMORY = 0.997  # what one observation leaves of the weight of earlier ones of its kind
BINS = 10


@dataclass(frozen=True)
class Proposal:
    """A successor that a source proposes.

    Attributes:
        token: its id.
        source: who proposes it.
        rank: its place among the source's proposals for the same node, from 0.
        confidence: the source's own idea of its probability.
    """

    token: int
    source: str
    rank: int
    confidence: float


@dataclass
class Estimate:
    """A proposal merged from all sources: the ``token``, its ``probability`` and the ``kinds`` it is counted under."""

    token: int
    probability: float
    kinds: tuple[tuple, tuple]
    confidence: float


class Calibration:
    """Relative frequencies by source, rank and confidence, refined by depth and by how many sources agree.

    Each is shrunk towards the coarser one, and that towards the source's own confidence. Old observations fade.
    """

    def __init__(self):
        self._counts: dict[tuple, list[float]] = {}  # kind -> [trials, hits]
        self._bins = [[0, 0.0, 0] for _ in range(BINS)]  # trials, sum of probabilities, hits

    def merge(self, proposals: list[Proposal], depth: int) -> list[Estimate]:
        """One estimate for each proposed token of a node, the most probable first; they sum to at most one.

        Args:
            proposals: what all sources propose for one node.
            depth: depth of the children that they would become.
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
        """Take in whether the proposed token was the target's own, given that its whole path was."""
        for kind in estimate.kinds:
            counts = self._counts.setdefault(kind, [0.0, 0.0])
            counts[0] = counts[0] * MEMORY + 1
            counts[1] = counts[1] * MEMORY + hit
        entry = self._bins[min(int(estimate.probability * BINS), BINS - 1)]
        entry[0] += 1
        entry[1] += estimate.probability
        entry[2] += hit

    @property
    def error(self) -> float | None:
        """Expected calibration error: the mean distance of probability and frequency over ten bins; None at first."""
        trials = sum(entry[0] for entry in self._bins)
        return sum(abs(entry[1] - entry[2]) for entry in self._bins) / trials if trials else None

    def _estimate(self, proposal: Proposal, depth: int, agreeing: int) -> Estimate:
        coarse = (proposal.source, min(proposal.rank, LAST_RANK), bisect(EDGES, proposal.confidence))
        fine = (*coarse, min(depth, DEEPEST), agreeing)
        probability = self._frequency(fine, self._frequency(coarse, proposal.confidence))
        return Estimate(proposal.token, probability, (coarse, fine), proposal.confidence)

    def _frequency(self, kind: tuple, prior: float) -> float:
        if kind not in self._counts:
            return prior
        trials, hits = self._counts[kind]
        return (hits + PRIOR_WEIGHT * prior) / (trials + PRIOR_WEIGHT)
