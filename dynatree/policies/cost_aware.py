"""The policy of one objective: each round the tree that promises the most tokens per second."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from dynatree.errors import DynatreeError
from dynatree.policies.base import Policy, at_least, probability
from dynatree.policies.calibration import Calibration

if TYPE_CHECKING:
    from dynatree.tree import TokenTree

SOURCES = ("model", "ngram", "recycling")
RATE_MEMORY = 0.97
GAIN_MEMORY = 0.8
DEEPEST_GAIN = 4  # levels from here on share what is known about them
CREDIT = 5.0  # passes over one token that may be lost before speculation has to have paid
MOST_CREDIT = 10.0  # of what it has gained, what may be lost again
OPTIMISM = 1.0  # tokens that a level is expected to bring, for each node it surely extends, before any was tried


@dataclass
class CostAware(Policy):
    """Best-first by calibrated probability; a node or a draft level is added while it gains more than it costs.

    With ``rate`` the tokens per second of late, a tree of n nodes, whose paths hold with probabilities p, is worth
    1 + sum(p) - rate * T(n + 1): what it emits less what the time it takes would have emitted otherwise (Dinkelbach's
    form of a ratio). The tree of highest worth is verified, which may be none. T is measured, see
    :mod:`dynatree.latency.measure`. A level of the draft model is run if its worth, as it turned out lately, exceeds
    the rate times the time of the pass. There is no threshold to set.

    An account keeps what speculation has gained over decoding token by token, in passes over one token: it starts with
    a small credit and never holds much. What it does not cover is not tried, so a draft that turns out useless, or
    probabilities that turn out wrong, cost what the account holds and from then on ``probe_share`` of the time.

    Attributes:
        max_depth: drafted tokens on the longest path.
        sources: who proposes, any of "model", "ngram" and "recycling"; without a draft "model" is left out.
        candidates: successors that a source may propose for a node.
        probe_share: share of the time that may be spent on trying what does not pay.
    """

    lasting: ClassVar[bool] = True
    node_budget: int = 48
    max_depth: int = 16
    sources: tuple[str, ...] = SOURCES
    candidates: int = 4
    probe_share: float = 0.01
    calibration: Calibration = field(default_factory=Calibration, init=False, repr=False)

    def __post_init__(self):
        super().__post_init__()
        at_least(1, max_depth=self.max_depth, candidates=self.candidates)
        probability(probe_share=self.probe_share)
        self.sources = tuple(self.sources)
        if not self.sources or set(self.sources) - set(SOURCES) or len(set(self.sources)) < len(self.sources):
            raise DynatreeError(
                f"sources must be some of {', '.join(SOURCES)}, not {', '.join(self.sources) or 'none'}"
            )
        self._tokens = self._seconds = 0.0
        self._gains = [OPTIMISM] * (DEEPEST_GAIN + 1)
        self._probing = 0.0  # seconds that may be spent on trying the draft model
        self._account = CREDIT

    @property
    def most_children(self) -> int:
        return self.candidates

    @property
    def drafts_with_model(self) -> bool:
        return "model" in self.sources

    @property
    def needs_draft(self) -> bool:
        return self.sources == ("model",)

    @property
    def drafted_nodes(self) -> int:
        return 2 * self.node_budget

    def expands(self, tree: "TokenTree", node: int) -> bool:
        return tree.depths[node] < self.max_depth

    def breadth(self, node: int, confidence: float) -> int:
        return self.candidates

    def rate(self, plain: float) -> float:
        """Tokens per second of late; ``plain`` is the time of a pass over one token."""
        return max(self._tokens / self._seconds, 0.5 / plain) if self._tokens > 4 else 1 / plain

    def worth(self, probabilities: list[float], costs: list[float]) -> tuple[int, float]:
        """How many nodes to verify, and what they are worth beyond verifying none, in tokens.

        Args:
            probabilities: of the paths, falling.
            costs: what passes over 1, 2, ... tokens cost, in tokens that the same time would bring otherwise.
        """
        best, most, total = 0, 0.0, 0.0
        for n, share in enumerate(probabilities[: min(self.node_budget, len(costs) - 1)], start=1):
            total += share
            if total - costs[n] + costs[0] > most and self.affords(costs[n] / costs[0] - 1):
                best, most = n, total - costs[n] + costs[0]
        return best, most

    def level_pays(self, depth: int, mass: float, price: float) -> bool:
        """Whether to run the draft model over nodes at ``depth`` that are reached ``mass`` times on average.

        Args:
            price: tokens that the time of the pass would bring otherwise.
        """
        return self._gains[min(depth, DEEPEST_GAIN)] * mass > price

    def affords(self, passes: float) -> bool:
        """Whether the account covers what costs as much as ``passes`` over one token, should it bring nothing."""
        return passes <= self._account

    def may_probe(self, seconds: float) -> bool:
        """Whether a pass of ``seconds`` fits what may be spent on trying the draft model; if so, it is spent."""
        if self._probing < seconds:
            return False
        self._probing -= seconds
        return True

    def observe_level(self, depth: int, mass: float, gain: float) -> None:
        """Learn what a level of the draft model brought, in tokens, later levels and their passes included."""
        index = min(depth, DEEPEST_GAIN)
        self._gains[index] += (1 - GAIN_MEMORY) * (max(gain, 0.0) / mass - self._gains[index])

    def observe_round(self, emitted: int, seconds: float, passes: float) -> None:
        """Learn from a round what the rate is, and settle the account.

        Args:
            emitted: tokens.
            seconds: what the round took.
            passes: what its forward passes cost, in passes of the target over one token.
        """
        self._account = min(self._account + emitted - (1 - self.probe_share) * passes, MOST_CREDIT)
        self._tokens = self._tokens * RATE_MEMORY + emitted
        self._seconds = self._seconds * RATE_MEMORY + seconds
        self._probing += self.probe_share * seconds
