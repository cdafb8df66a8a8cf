"""The DynaTree policy of Chen, Liu and Li: breadth, depth, pruning and feedback from the draft's confidence."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dynatree.errors import DynatreeError
from dynatree.policies.base import Policy, ordered, probability
from dynatree.policies.feedback import RULES, Adjustable, Proportional, PublishedCode
from dynatree.utils.validate import at_least

if TYPE_CHECKING:
    from dynatree.tree import TokenTree


@dataclass
class DynaTree(Policy):
    """A tree that is narrow where the draft is confident, wide where it is not, and deep only on probable paths.

    Attributes:
        base_depth: drafted tokens that every sufficiently probable path may reach.
        max_depth: drafted tokens on the longest path.
        min_branch: children of a node of high confidence.
        mid_branch: children of a node of middle confidence.
        max_branch: children of a node of low confidence.
        high_confidence: lower bound of high confidence. The confidence of a node is the highest probability that the
            draft assigns to a successor.
        low_confidence: lower bound of middle confidence.
        stop_probability: a node with a smaller path probability gets no children.
        deep_probability: from ``base_depth`` on, a node needs a larger path probability than this to get children.
        prune_probability: like ``stop_probability``, but also without ``adapt_depth``.
        root_branch: children of the root; None for the rule of every other node, 1 for the published rule.
        adapt_breadth: False gives every node ``mid_branch`` children.
        adapt_depth: False grows every path that is not pruned to ``base_depth``.
        history: True adapts ``base_depth`` and the confidence bounds after every round, in proportion to the distance
            of the recent acceptance rate from ``target_acceptance``. False never adapts them. A name selects a rule
            of :data:`dynatree.policies.feedback.RULES`.
        history_window: rounds (or requests) averaged.
        target_acceptance: share of the drafted depth that should be accepted.
        adjustment_rate: step of every parameter for an acceptance error of one.
        current: the adapted parameters at their current values.
    """

    base_depth: int = 5
    max_depth: int = 8
    min_branch: int = 1
    mid_branch: int = 2
    max_branch: int = 3
    high_confidence: float = 0.9
    low_confidence: float = 0.4
    stop_probability: float = 0.1
    deep_probability: float = 0.5
    prune_probability: float = 0.05
    root_branch: int | None = None
    adapt_breadth: bool = True
    adapt_depth: bool = True
    history: bool | str = True
    history_window: int = 10
    target_acceptance: float = 0.7
    adjustment_rate: float = 0.05
    current: Adjustable = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, base_depth=self.base_depth, min_branch=self.min_branch, history_window=self.history_window)
        if self.root_branch is not None:
            at_least(1, root_branch=self.root_branch)
        ordered(base_depth=self.base_depth, max_depth=self.max_depth)
        ordered(min_branch=self.min_branch, mid_branch=self.mid_branch, max_branch=self.max_branch)
        probability(
            stop_probability=self.stop_probability,
            deep_probability=self.deep_probability,
            prune_probability=self.prune_probability,
            low_confidence=self.low_confidence,
            high_confidence=self.high_confidence,
            target_acceptance=self.target_acceptance,
            adjustment_rate=self.adjustment_rate,
        )
        ordered(low_confidence=self.low_confidence, high_confidence=self.high_confidence)
        self.current = Adjustable(self.base_depth, self.high_confidence, self.low_confidence, self.deep_probability)
        self._feedback = self._make_feedback()

    def _make_feedback(self) -> Proportional | PublishedCode | None:
        rule = "proportional" if self.history is True else self.history
        if rule is False:
            return None
        if rule not in RULES:
            raise DynatreeError(f"history must be true, false or one of {', '.join(RULES)}, not {rule!r}")
        return RULES[rule](self.current, self)

    @property
    def persistent(self) -> bool:
        """True for the rule of the published code, which acts between requests."""
        return self.history == "published_code"

    @property
    def max_children(self) -> int:
        return max(self.max_branch if self.adapt_breadth else self.mid_branch, self.root_branch or 0)

    def expands(self, tree: "TokenTree", node: int) -> bool:
        depth, path_probability = tree.depths[node], math.exp(tree.log_probs[node])
        if path_probability < self.prune_probability:
            return False
        if not self.adapt_depth:
            return depth < self.base_depth
        if path_probability < self.stop_probability or depth >= self.max_depth:
            return False
        return depth < round(self.current.base_depth) or path_probability > self.current.deep_probability

    def breadth(self, node: int, confidence: float) -> int:
        if node == 0 and self.root_branch:
            return self.root_branch
        if not self.adapt_breadth:
            return self.mid_branch
        if confidence >= self.current.high_confidence:
            return self.min_branch
        return self.max_branch if confidence < self.current.low_confidence else self.mid_branch

    def observe(self, depth: int, accepted: int) -> None:
        if self._feedback and depth:
            self._feedback.observe(accepted / depth)

    def finish(self, tokens: int, rounds: int) -> None:
        if self._feedback and rounds:
            self._feedback.finish(tokens / rounds)
