"""What a policy decides, and the checks that all policies share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from dynatree.errors import DynatreeError
from dynatree.utils.validate import at_least

if TYPE_CHECKING:
    from dynatree.tree import TokenTree


@dataclass
class Policy:
    """Decides the shape of the tree; never touches a model.

    Each round, for every node of the newest level, the drafting loop asks :meth:`expands` before it spends a draft
    forward on the node, and :meth:`breadth` after it. When the children of a level exceed what is left of
    ``node_budget``, the most probable paths stay.

    Attributes:
        node_budget: most nodes below the root that the target verifies in a round.
        lasting: whether what it learns holds for later requests to the same pair.
    """

    lasting: ClassVar[bool] = False
    node_budget: int = 256

    def __post_init__(self):
        at_least(1, node_budget=self.node_budget)

    @property
    def most_children(self) -> int:
        """Most children :meth:`breadth` ever grants."""
        raise NotImplementedError

    @property
    def drafts_with_model(self) -> bool:
        """Whether it uses a draft model, if there is one."""
        return self.most_children > 0

    @property
    def needs_draft(self) -> bool:
        """Whether it cannot do without a draft model."""
        return self.drafts_with_model

    @property
    def drafted_nodes(self) -> int:
        """Most nodes that are drafted in a round, those included that the target does not see."""
        return self.node_budget

    def shape(self) -> list[int] | None:
        """Children of each node, level by level, where they are so whatever the draft says; None where it matters."""
        return None

    def expands(self, tree: "TokenTree", node: int) -> bool:
        """Whether ``node`` gets children."""
        raise NotImplementedError

    def breadth(self, node: int, confidence: float) -> int:
        """How many children an expanded ``node`` gets; ``confidence`` is the draft's highest probability there."""
        raise NotImplementedError

    def observe(self, depth: int, accepted: int) -> None:
        """Learn from a round: the tree was ``depth`` deep and ``accepted`` drafted tokens were emitted."""

    def finish(self, tokens: int, rounds: int) -> None:
        """Learn from a finished request that emitted ``tokens`` tokens in ``rounds`` rounds."""


def probability(**values: float) -> None:
    """Raise unless every value lies in [0, 1]."""
    for name, value in values.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise DynatreeError(f"{name} must be a probability in [0, 1], not {value!r}")


def ordered(**values: float) -> None:
    """Raise unless the values do not decrease in the order given."""
    if list(values.values()) != sorted(values.values()):
        raise DynatreeError(f"{' <= '.join(values)} must hold, but they are {', '.join(map(str, values.values()))}")
