"""Costs of the parts of a round, in tokens."""

from dataclasses import dataclass

from dynatree.drafting.base import RoundContext
from dynatree.latency.cost_model import CostModel
from dynatree.policies.cost_aware import CostAware


@dataclass(frozen=True)
class RoundCosts:
    """Costs of the parts of a round.

    A cost in tokens is the number of tokens that the same time emits otherwise, at the recent throughput.

    Attributes:
        verify_tokens: cost in tokens of verifying 0, 1, ... nodes below the root, host time included.
        min_node_tokens: cost of a node in the tree size with the cheapest nodes; 0 if wide forward passes are cheaper.
        expansion_tokens: cost in tokens of the lookups after a candidate.
        plain_seconds: seconds of a forward pass of the target over the roots of the batch.
        rate: recent tokens per second.
        batch: number of requests decoded together.
    """

    verify_tokens: list[float]
    min_node_tokens: float
    expansion_tokens: float
    plain_seconds: float
    rate: float
    batch: int

    @classmethod
    def estimate(cls, target: CostModel, policy: CostAware, context: RoundContext) -> "RoundCosts":
        """Return the costs of a round.

        Args:
            target: cost model of the target.
            policy: its recent throughput converts seconds to tokens, and it measures the host time.
            context: state of the request before the round.
        """
        batch = context.batch
        seconds = target.of(range(batch, batch * (policy.node_budget + 1) + 1, batch), context.target_entries)
        plain_seconds = seconds[0]
        rate = policy.rate(plain_seconds)
        host_seconds = batch * policy.host.node.value
        verify_tokens = [rate * (value + nodes * host_seconds) for nodes, value in enumerate(seconds)]
        plain_tokens = verify_tokens[0]
        node_tokens = [(cost - plain_tokens) / nodes for nodes, cost in enumerate(verify_tokens[1:], start=1)]
        expansion_tokens = rate * batch * policy.host.expansion.value
        return cls(verify_tokens, max(0.0, min(node_tokens)), expansion_tokens, plain_seconds, rate, batch)

    def draft_tokens(self, seconds: float) -> float:
        """Return the cost in tokens of ``seconds`` of drafting, which delay the complete batch."""
        return self.rate * self.batch * seconds

    def plain_passes(self, seconds: float) -> float:
        """Return ``seconds`` of drafting in forward passes of the target over the roots."""
        return self.batch * seconds / self.plain_seconds
