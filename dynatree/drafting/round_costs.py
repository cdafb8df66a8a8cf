"""Costs of the forward passes of a round, in tokens."""

from dataclasses import dataclass
from functools import cached_property

from dynatree.drafting.base import RoundContext
from dynatree.latency.cost_model import CostModel
from dynatree.policies.cost_aware import CostAware


@dataclass(frozen=True)
class RoundCosts:
    """Costs of the forward passes of a round.

    A cost in tokens is the number of tokens that the same time emits otherwise, at the recent throughput.

    Attributes:
        verify_tokens: cost in tokens of verifying 0, 1, ... nodes below the root.
        plain_seconds: seconds of a forward pass of the target over the roots of the batch.
        tokens_per_second: cost in tokens of one second of drafting, which delays the whole batch.
        batch: number of requests decoded together.
    """

    verify_tokens: list[float]
    plain_seconds: float
    tokens_per_second: float
    batch: int

    @classmethod
    def estimate(cls, target: CostModel, policy: CostAware, context: RoundContext) -> "RoundCosts":
        """Return the costs of a round.

        Args:
            target: cost model of the target.
            policy: its recent throughput converts seconds to tokens.
            context: state of the request before the round.
        """
        batch = context.batch
        widths = [batch * (nodes + 1) for nodes in range(policy.node_budget + 1)]
        verify_seconds = target.of(widths, context.target_entries)
        plain_seconds = verify_seconds[0]
        rate = policy.rate(plain_seconds)
        return cls([rate * seconds for seconds in verify_seconds], plain_seconds, rate * batch, batch)

    def draft_tokens(self, seconds: float) -> float:
        """Return the cost in tokens of ``seconds`` of drafting."""
        return self.tokens_per_second * seconds

    def plain_passes(self, draft_seconds: float) -> float:
        """Return ``draft_seconds`` of drafting in forward passes of the target over the roots."""
        return self.batch * draft_seconds / self.plain_seconds

    @cached_property
    def min_node_tokens(self) -> float:
        """Cost of a node in the tree size with the cheapest nodes; 0 if the cost model has wide passes cheaper."""
        plain, *wider = self.verify_tokens
        return max(0.0, min(((cost - plain) / nodes for nodes, cost in enumerate(wider, start=1)), default=0.0))
