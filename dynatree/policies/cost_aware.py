"""The cost-aware policy: each round, the tree with the most expected tokens per second."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dynatree.errors import DynatreeError
from dynatree.policies.base import Policy, probability
from dynatree.policies.calibration import MEMORY, SOURCES, Calibration
from dynatree.policies.host_costs import HostCosts
from dynatree.policies.source_account import CREDIT, SourceAccount
from dynatree.utils.validate import at_least

if TYPE_CHECKING:
    from dynatree.tree import TokenTree

RATE_DECAY = 0.97
MAX_GAIN_DEPTH = 4  # deeper levels share their statistics
LOSS_BUDGET = 3.0  # initial loss budget, in forward passes over one token
MAX_LOSS_BUDGET = 10.0
LOOKUP_RESERVE = 1.5  # part of the loss budget that the draft model must leave to the lookups
INITIAL_GAIN = 0.6  # expected tokens gained by drafting below a node that is accepted for certain
INITIAL_GAIN_WEIGHT = 2  # weight of this expectation, in observations
GAIN_MEMORY = 5  # observations over which a gain is averaged


@dataclass
class CostAware(Policy):
    """Best-first selection by calibrated probability, up to the tree whose expected gain is largest.

    Let ``rate`` be the recent throughput. The gain of verifying n nodes with path probabilities p is
    ``1 + sum(p) - rate * T(n + 1)``: expected tokens minus the tokens that the same time emits otherwise (Dinkelbach's
    form of a ratio). The tree of the largest gain is verified, possibly the empty one. T is measured, see
    :mod:`dynatree.latency.measure`, and includes the host time of n nodes. A level of the draft model runs if its
    recent gain exceeds ``rate`` times the seconds of its forward pass and of the host. A lookup is used while it emits
    more tokens than its host time costs. The policy has no threshold to tune.

    A loss budget limits what speculation may lose against decoding token by token, in forward passes over one token.
    The budget starts small, grows with every gain and is capped. The policy speculates only while the budget covers the
    possible loss. A part of it is reserved for the lookups, which a useless draft would starve otherwise. A useless
    draft therefore costs at most three forward passes up front and ``probe_share`` of the time afterwards.

    Attributes:
        max_depth: drafted tokens on the longest path.
        sources: sources of proposals, any of "model", "ngram", "recycling" and "table". A pair without a draft model
            or an n-gram table skips "model" or "table".
        candidates: maximum number of successors that a source proposes for a node.
        probe_share: share of the time spent on probing a draft model that does not pay.
        memory: entries of past outputs that the pair keeps for later requests; 0 for none, see
            :mod:`dynatree.drafting.memory`.
        calibration: acceptance probabilities of proposals.
        host: host time of the parts of a round.
    """

    node_budget: int = 48
    max_depth: int = 16
    sources: tuple[str, ...] = SOURCES
    candidates: int = 4
    probe_share: float = 0.01
    memory: int = 0
    calibration: Calibration = field(default_factory=Calibration, init=False, repr=False)
    host: HostCosts = field(default_factory=HostCosts, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, max_depth=self.max_depth, candidates=self.candidates)
        at_least(0, memory=self.memory)
        probability(probe_share=self.probe_share)
        self.sources = tuple(self.sources)
        if not self.sources or set(self.sources) - set(SOURCES) or len(set(self.sources)) < len(self.sources):
            raise DynatreeError(
                f"sources must be some of {', '.join(SOURCES)}, not {', '.join(self.sources) or 'none'}"
            )
        self._tokens = self._seconds = 0.0  # decayed sums
        self._gains = [INITIAL_GAIN] * (MAX_GAIN_DEPTH + 1)
        self._gain_weights = [INITIAL_GAIN_WEIGHT] * (MAX_GAIN_DEPTH + 1)
        self._probe_seconds = 0.0
        self._loss_budget = LOSS_BUDGET
        self._accounts = {name: SourceAccount() for name in (*self.sources, MEMORY)}

    @property
    def persistent(self) -> bool:
        return True

    @property
    def max_children(self) -> int:
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

    @property
    def selector(self) -> "CostAware":
        return self

    def expands(self, tree: "TokenTree", node: int) -> bool:
        return tree.depths[node] < self.max_depth

    def breadth(self, node: int, confidence: float) -> int:
        return self.candidates

    def rate(self, plain_seconds: float) -> float:
        """Return the recent tokens per second.

        Args:
            plain_seconds: seconds of a forward pass of the target over one token.
        """
        if self._tokens <= 4:
            return 1 / plain_seconds
        return max(self._tokens / self._seconds, 0.5 / plain_seconds)

    def expected_gain(self, probabilities: list[float], costs: list[float], reserve: float = 0.0) -> tuple[int, float]:
        """Return the number of nodes to verify and their expected gain over verifying none, in tokens.

        Args:
            probabilities: path probabilities of the candidates, in non-increasing order.
            costs: cost in tokens of verifying 0, 1, ... nodes: the tokens that the same time emits otherwise.
            reserve: see :meth:`affords`.
        """
        best_count, best_gain, expected = 0, 0.0, 0.0
        for n, share in enumerate(probabilities[: min(self.node_budget, len(costs) - 1)], start=1):
            expected += share
            gain = expected - costs[n] + costs[0]
            if gain > best_gain and self.affords(costs[n] / costs[0] - 1, reserve):
                best_count, best_gain = n, gain
        return best_count, best_gain

    def level_size(self, depth: int, paths: list[float], costs: list[float]) -> int:
        """Return how many nodes of a level the draft model should expand: each must gain more than it costs.

        Args:
            depth: depth of the nodes.
            paths: their path probabilities, in non-increasing order.
            costs: cost in tokens of a level over the first 1, 2, ... nodes.
        """
        gain, spent = self._gains[min(depth, MAX_GAIN_DEPTH)], 0.0
        for count, (path, cost) in enumerate(zip(paths, costs, strict=True)):
            if gain * path <= cost - spent:
                return count
            spent = cost
        return len(paths)

    def affords(self, plain_passes: float, reserve: float = 0.0) -> bool:
        """Return True if the loss budget beyond ``reserve`` covers ``plain_passes`` forward passes over one token."""
        return plain_passes + reserve <= self._loss_budget

    def may_probe(self, seconds: float) -> bool:
        """Return True, and spend ``seconds`` of the probe time, if that much is left for probing the draft model."""
        if self._probe_seconds < seconds:
            return False
        self._probe_seconds -= seconds
        return True

    def uses(self, source: str, rate: float) -> bool:
        """Return True if a lookup pays for its host time or has a trial in probe time, and the loss budget is positive.

        Args:
            source: name of the lookup.
            rate: recent tokens per second.
        """
        account = self._accounts[source]
        if not account.pays(rate) and self.may_probe(CREDIT / rate):
            account.start_trial()
        return account.pays(rate) and self.affords(0.0)

    def observe_source(self, source: str, tokens: float, seconds: float) -> None:
        """Record the yield of a lookup in a round, see :meth:`SourceAccount.observe`."""
        self._accounts[source].observe(tokens, seconds)

    def observe_level(self, depth: int, mass: float, gain: float) -> None:
        """Record the gain of a level of the draft model.

        Args:
            depth: depth of the nodes that the draft model expanded.
            mass: sum of their path probabilities.
            gain: tokens gained, later levels and the cost of their forward passes included.
        """
        index = min(depth, MAX_GAIN_DEPTH)
        self._gain_weights[index] = min(self._gain_weights[index] + 1, GAIN_MEMORY)
        self._gains[index] += (gain / mass - self._gains[index]) / self._gain_weights[index]

    def observe_round(self, emitted: int, seconds: float, plain_passes: float) -> None:
        """Update the throughput and the loss budget after a round.

        Args:
            emitted: emitted tokens.
            seconds: duration of the round.
            plain_passes: cost of its forward passes, in forward passes of the target over one token.
        """
        balance = self._loss_budget + emitted - (1 - self.probe_share) * plain_passes
        self._loss_budget = min(balance, MAX_LOSS_BUDGET)
        self._tokens = self._tokens * RATE_DECAY + emitted
        self._seconds = self._seconds * RATE_DECAY + seconds
        self._probe_seconds += self.probe_share * seconds
