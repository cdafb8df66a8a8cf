"""Policies whose shape does not depend on the draft's confidence: no tree, a chain and a uniform tree."""

import itertools
import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dynatree.policies.base import Policy, probability
from dynatree.utils.validate import at_least

if TYPE_CHECKING:
    from dynatree.tree import TokenTree


@dataclass
class Autoregressive(Policy):
    """Decoding without a tree: the target emits one token per round."""

    node_budget: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Accept the node budget of 0."""

    @property
    def max_children(self) -> int:
        return 0

    def expands(self, tree: "TokenTree", node: int) -> bool:
        return False


@dataclass
class FixedTree(Policy):
    """A uniform tree: every node above ``depth`` gets ``branch`` children unless its path is improbable.

    Attributes:
        depth: drafted tokens on the longest path.
        branch: children of an expanded node.
        prune_probability: a node with a smaller path probability is verified but gets no children.
        root_branch: children of the root; None for ``branch``, 1 for the published rule.
    """

    depth: int = 5
    branch: int = 2
    prune_probability: float = 0.05
    root_branch: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, depth=self.depth, branch=self.branch)
        if self.root_branch is not None:
            at_least(1, root_branch=self.root_branch)
        probability(prune_probability=self.prune_probability)

    @property
    def max_children(self) -> int:
        return max(self.branch, self.root_branch or 0)

    def shape(self) -> list[int] | None:
        branches = [self.root_branch or self.branch] + [self.branch] * (self.depth - 1)
        widths: Iterator[int] = itertools.accumulate(branches, operator.mul)
        fits = sum(widths) <= self.node_budget
        return branches if fits and self.prune_probability == 0 else None

    def expands(self, tree: "TokenTree", node: int) -> bool:
        return tree.depths[node] < self.depth and math.exp(tree.log_probs[node]) >= self.prune_probability

    def breadth(self, node: int, confidence: float) -> int:
        return self.root_branch if node == 0 and self.root_branch else self.branch


class Chain(FixedTree):
    """A chain of ``length`` tokens: speculative decoding as introduced by Leviathan et al. (2023)."""

    def __init__(self, length: int = 5):
        at_least(1, length=length)
        super().__init__(node_budget=length, depth=length, branch=1, prune_probability=0.0)
