"""Who proposes tokens."""

from dynatree.drafting.base import Drafter
from dynatree.drafting.draft_model import ModelDrafter, ShapedDrafter
from dynatree.drafting.hybrid import MergedDrafter
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.tree_cache import CompressedTree
from dynatree.latency.measure import Latency, latency_of
from dynatree.models.pair import ModelPair
from dynatree.models.runner import CachedModel
from dynatree.policies.base import Policy
from dynatree.policies.cost_aware import Throughput


def make_drafter(
    pair: ModelPair, policy: Policy, rows: int, target: CachedModel, batch: int = 1, compression: Method | None = None
) -> Drafter | None:
    """The drafter that a policy asks for; None if it wants no tree.

    Args:
        rows: tokens of the prompt and of the output.
        target: the request's.
        batch: requests whose trees are verified together.
        compression: of the draft's cache.
    """
    if not policy.most_children:
        return None
    uses_model = pair.draft is not None and policy.drafts_with_model
    model = None
    if uses_model:
        capacity, proposals = rows + policy.drafted_nodes + 1, pair.target.config.vocab_size
        cache = compression and CompressedTree(pair.draft, compression, rows, policy.drafted_nodes)
        static = pair.static.get("draft")
        draft = CachedModel(pair.draft, "draft", capacity, proposals, target.sampler, cache, pair.clock, static)
        model = ShapedDrafter(draft) if draft.static and policy.shape() else ModelDrafter(draft)
    if not isinstance(policy, Throughput):
        return model
    draft_latency = _latency(pair, "draft") if uses_model else None
    return MergedDrafter(model, policy, target, _latency(pair, "target"), draft_latency, pair.clock, batch)


def _latency(pair: ModelPair, role: str) -> Latency:
    key = f"latency of the {role}"
    if key not in pair.learnt:
        pair.learnt[key] = latency_of(getattr(pair, role), pair.static.get(role))
    return pair.learnt[key]
