"""Who proposes tokens."""

from dynatree.drafting.base import Drafter
from dynatree.drafting.draft_model import ModelDrafter, StaticTreeDrafter
from dynatree.drafting.hybrid import HybridDrafter
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.tree_cache import CompressedTreeCache
from dynatree.latency.measure import CostModel, latency_of
from dynatree.models.pair import ModelPair
from dynatree.models.runner import ModelRunner
from dynatree.policies.base import Policy
from dynatree.policies.cost_aware import CostAware


def make_drafter(
    pair: ModelPair, policy: Policy, rows: int, target: ModelRunner, batch: int = 1, compression: Method | None = None
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
        cache = compression and CompressedTreeCache(pair.draft, compression, rows, policy.drafted_nodes)
        static = pair.static.get("draft")
        draft = ModelRunner(pair.draft, "draft", capacity, proposals, target.sampler, cache, pair.clock, static)
        model = StaticTreeDrafter(draft) if draft.static and policy.shape() else ModelDrafter(draft)
    if not isinstance(policy, CostAware):
        return model
    draft_latency = _latency(pair, "draft") if uses_model else None
    return HybridDrafter(model, policy, target, _latency(pair, "target"), draft_latency, pair.clock, batch)


def _latency(pair: ModelPair, role: str) -> CostModel:
    key = f"latency of the {role}"
    if key not in pair.learnt:
        pair.learnt[key] = latency_of(getattr(pair, role), pair.static.get(role))
    return pair.learnt[key]
