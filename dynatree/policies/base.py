"""The interface of a policy, and the checks that all policies share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dynatree.errors import DynatreeError
from dynatree.utils.validate import at_least, real_number

if TYPE_CHECKING:
    from dynatree.policies.cost_aware import CostAware
    from dynatree.tree import TokenTree


@dataclass
class Policy:
    """The shape of the drafted tree; a policy never calls a model.

    Each round, the drafter calls :meth:`expands` for every node of the deepest level before it runs the draft model on
    the node, and :meth:`breadth` afterwards. If the children of a level exceed the rest of ``node_budget``, the most
    probable paths stay.

    Attributes:
        node_budget: maximum number of nodes below the root that the target verifies in a round.
    """

    node_budget: int = 256

    def __post_init__(self) -> None:
        at_least(1, node_budget=self.node_budget)

    @property
    def persistent(self) -> bool:
        """True if the pair keeps the policy and its statistics for later requests."""
        return False

    @property
    def max_children(self) -> int:
        """Largest number of children that :meth:`breadth` returns."""
        raise NotImplementedError

    @property
    def drafts_with_model(self) -> bool:
        """True if the policy uses the draft model of a pair that has one."""
        return self.max_children > 0

    @property
    def needs_draft(self) -> bool:
        """True if the policy requires a draft model."""
        return self.drafts_with_model

    @property
    def drafted_nodes(self) -> int:
        """Maximum number of nodes drafted in a round, including nodes that are not verified."""
        return self.node_budget

    @property
    def selector(self) -> "CostAware | None":
        """The policy itself if it selects the tree from a larger pool of candidates; None otherwise."""
        return None

    def shape(self) -> list[int] | None:
        """Return the children of each node, level by level; None if they depend on the draft's probabilities."""
        return None

    def expands(self, tree: "TokenTree", node: int) -> bool:
        """Return True if ``node`` gets children."""
        raise NotImplementedError

    def breadth(self, node: int, confidence: float) -> int:
        """Return the number of children of an expanded node.

        Args:
            node: index of the node.
            confidence: highest probability that the draft assigns to a successor of the node.
        """
        raise NotImplementedError

    def observe(self, depth: int, accepted: int) -> None:
        """Record a round: the depth of its tree and the number of drafted tokens that were emitted."""

    def finish(self, tokens: int, rounds: int) -> None:
        """Record a finished request: its emitted tokens and its rounds."""


def probability(**values: object) -> None:
    """Raise unless every value lies in [0, 1]."""
    for name, value in values.items():
        number = real_number(value)
        if number is None or not 0 <= number <= 1:
            raise DynatreeError(f"{name} must be a probability in [0, 1], not {value!r}")


def ordered(**values: float) -> None:
    """Raise unless the values are in non-decreasing order."""
    if list(values.values()) != sorted(values.values()):
        raise DynatreeError(f"{' <= '.join(values)} must hold, but they are {', '.join(map(str, values.values()))}")
