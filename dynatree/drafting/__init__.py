"""Who proposes tokens."""

from dynatree.drafting.base import Drafter
from dynatree.drafting.merged import MergedDrafter
from dynatree.drafting.model import ModelDrafter, ShapedDrafter
from dynatree.latency import Latency, latency_of
from dynatree.models import CachedModel, ModelPair
from dynatree.policies.base import Policy
from dynatree.policies.throughput import Throughput
from dynatree.sampling import Sampler


def make_drafter(
    pair: ModelPair, policy: Policy, rows: int, sampler: Sampler | None = None, batch: int = 1
) -> Drafter | None:
    """The drafter that a policy asks for; None if it wants no tree.

    Args:
        rows: tokens of the prompt and of the output.
        sampler: the target's; None for greedy decoding.
        batch: requests whose trees are verified together.
    """
    if not policy.most_children:
        return None
    uses_model = pair.draft is not None and policy.drafts_with_model
    model = None
    if uses_model:
        capacity, static = rows + policy.drafted_nodes + 1, pair.static.get("draft")
        draft = CachedModel(
            pair.draft, "draft", capacity, pair.target.config.vocab_size, sampler, clock=pair.clock, static=static
        )
        model = ShapedDrafter(draft) if static and policy.shape() else ModelDrafter(draft)
    if not isinstance(policy, Throughput):
        return model
    draft_latency = _latency(pair, "draft") if uses_model else None
    return MergedDrafter(model, policy, _latency(pair, "target"), draft_latency, pair.clock, batch)


def _latency(pair: ModelPair, role: str) -> Latency:
    key = f"latency of the {role}"
    if key not in pair.learnt:
        pair.learnt[key] = latency_of(getattr(pair, role), pair.static.get(role))
    return pair.learnt[key]
