"""A draft model whose forward passes are predicted and measured."""

from collections.abc import Callable
from math import exp, inf

from dynatree.drafting.base import Nodes
from dynatree.drafting.draft_model import ModelDrafter
from dynatree.latency.cost_model import CostModel
from dynatree.policies.calibration import MAX_RANK, Proposal, slot_of
from dynatree.utils.stopwatch import Stopwatch

SLOTS = [slot_of("model", rank) for rank in range(MAX_RANK + 1)]


class TimedDraft:
    """A draft model with its cost model, which every forward pass after the first corrects.

    The first forward pass reads the prompt. Its duration says nothing about later ones, so it counts as one over a
    single token.

    Args:
        drafter: the draft model.
        cost_model: of the draft model.
        clock: returns the current time in seconds.

    Attributes:
        has_read_prompt: True after the first forward pass.
        round_seconds: seconds of forward passes in the current round.
    """

    def __init__(self, drafter: ModelDrafter, cost_model: CostModel, clock: Callable[[], float]):
        self.drafter = drafter
        self.cost_model = cost_model
        self.has_read_prompt = False
        self.round_seconds = 0.0
        self._stopwatch = Stopwatch(clock)
        self._entries = 0  # entries that the root attends to

    def begin_round(self, root: int, text_length: int) -> None:
        """Start a round.

        Args:
            root: the newest emitted token.
            text_length: tokens of the prompt and the output, the root included.
        """
        self.drafter.begin_round(root)
        self.round_seconds = 0.0
        self._entries = text_length - self.drafter.runner.cache.evicted

    def seconds(self, max_nodes: int = 1) -> list[float]:
        """Return the predicted seconds of a forward pass over 1 to ``max_nodes`` nodes."""
        return self.cost_model.of(range(1, max_nodes + 1), self._entries)

    def catch_up_seconds(self) -> float:
        """Return the predicted extra seconds of the next forward pass for emitted tokens it has not read yet."""
        pending = max(len(self.drafter.pending), 1)
        return self.cost_model(pending, self._entries) - self.cost_model(1, self._entries)

    def expand(self, tree: Nodes, nodes: list[int], count: int) -> tuple[list[list[Proposal]], float]:
        """Run the draft model over nodes of one level.

        Args:
            tree: the tree.
            nodes: nodes of one level whose parents were expanded before.
            count: successors of each node.

        Returns:
            The proposals for each node, and the seconds of the forward pass.
        """
        with self._stopwatch:
            tokens, log_probs = self.drafter.expand(tree, nodes, count)
        seconds = self._stopwatch.pop_elapsed()
        if self.has_read_prompt:
            self.cost_model.observe(*self.drafter.passes[-1], seconds)
        self.round_seconds += seconds if self.has_read_prompt else self.seconds()[0]
        self.has_read_prompt = True
        return [_proposals(*row) for row in zip(tokens, log_probs, strict=True)], seconds


def _proposals(tokens: list[int], log_probs: list[float]) -> list[Proposal]:
    """Return the proposals for a node; ids that the target lacks come last, with a log-probability of -inf."""
    ranked = enumerate(zip(tokens, log_probs, strict=True))
    return [Proposal(token, SLOTS[min(rank, MAX_RANK)], exp(one)) for rank, (token, one) in ranked if one > -inf]
