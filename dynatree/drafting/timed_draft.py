"""A draft model whose forward passes are predicted and measured."""

from collections.abc import Callable
from math import exp, inf

from dynatree.drafting.base import Drafting, Nodes
from dynatree.drafting.draft_model import ModelDrafter
from dynatree.latency.cost_model import CostModel
from dynatree.policies.calibration import MAX_RANK, Proposal, slot_of

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
        round_seconds: predicted seconds of the forward passes in the current round, so that a pause of the process does
            not count; a forward pass that serves several requests counts in equal shares.
    """

    def __init__(self, drafter: ModelDrafter, cost_model: CostModel, clock: Callable[[], float]):
        self.drafter = drafter
        self.cost_model = cost_model
        self.has_read_prompt = False
        self.round_seconds = 0.0
        self._clock = clock
        self._requests = 1  # that a forward pass serves
        self._entries = 0  # entries that the root attends to

    def begin_round(self, root: int, text_length: int, batch: int) -> None:
        """Start a round.

        Args:
            root: the newest emitted token.
            text_length: tokens of the prompt and the output, the root included.
            batch: number of requests decoded together.
        """
        self._requests = batch if self.drafter.runner.cache.is_shared else 1
        self.drafter.begin_round(root)
        self.round_seconds = 0.0
        self._entries = text_length - self.drafter.runner.cache.evicted

    def seconds(self, max_nodes: int = 1) -> list[float]:
        """Return the predicted seconds of a forward pass over 1 to ``max_nodes`` nodes, or this request's share."""
        requests = self._requests
        seconds = self.cost_model.of(range(requests, requests * max_nodes + 1, requests), self._entries)
        return [value / requests for value in seconds] if requests > 1 else seconds

    def catch_up_seconds(self) -> float:
        """Return the predicted extra seconds of the next forward pass for emitted tokens it has not read yet."""
        pending = len(self.drafter.pending)
        if pending <= 1:
            return 0.0
        return self.cost_model(pending, self._entries) - self.cost_model(1, self._entries)

    def expand(self, tree: Nodes, nodes: list[int], count: int) -> Drafting[tuple[list[list[Proposal]], float, float]]:
        """Run the draft model over nodes of one level.

        Args:
            tree: the tree.
            nodes: nodes of one level whose parents were expanded before.
            count: successors of each node.

        Returns:
            The proposals for each node, the seconds of the forward pass that count for this request, and the seconds of
            the call, in which other requests of a batch may have worked, too.
        """
        self.round_seconds += self.seconds(len(nodes))[-1] + self.catch_up_seconds() * self.has_read_prompt
        started = self._clock()
        asked = self.drafter.ask(tree, nodes, [tree.tokens[node] for node in nodes], count)
        found = yield asked
        elapsed = self._clock() - started
        seconds = elapsed if found.shared_seconds is None else found.shared_seconds / found.requests
        if self.has_read_prompt and found.shared_seconds is None:
            self.cost_model.observe(*self.drafter.passes[-1], seconds)
        self.has_read_prompt = True
        return [_proposals(*row) for row in zip(found.ids, found.log_probs, strict=True)], seconds, elapsed


def _proposals(tokens: list[int], log_probs: list[float]) -> list[Proposal]:
    """Return the proposals for a node; ids that the target lacks come last, with a log-probability of -inf."""
    ranked = enumerate(zip(tokens, log_probs, strict=True))
    return [Proposal(token, SLOTS[min(rank, MAX_RANK)], exp(one)) for rank, (token, one) in ranked if one > -inf]
