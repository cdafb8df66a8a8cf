"""The drafter of a request."""

from dynatree.drafting.base import Drafter
from dynatree.drafting.draft_model import ModelDrafter, StaticTreeDrafter
from dynatree.drafting.hidden_state_draft import HiddenStateDrafter
from dynatree.drafting.hybrid import HybridDrafter
from dynatree.drafting.memory import memory_of
from dynatree.drafting.timed_draft import TimedDraft
from dynatree.kvcompress.admission import admit_compression
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.tree_cache import CompressedTreeCache
from dynatree.latency.cost_model import CostModel
from dynatree.latency.measure import load_cost_model
from dynatree.models.modes import mode_of
from dynatree.models.pair import ModelPair, Role
from dynatree.models.runner import ModelRunner
from dynatree.models.sampling import Sampler
from dynatree.models.state_embedding import reads_states
from dynatree.models.supported import vocabulary_size
from dynatree.policies.base import Policy


def make_drafter(
    pair: ModelPair,
    policy: Policy,
    total_tokens: int,
    stop_tokens: frozenset[int] = frozenset(),
    sampler: Sampler | None = None,
    draft_cache: Method | None = None,
    shared: ModelRunner | None = None,
) -> Drafter | None:
    """Return the drafter for a policy; None if the policy drafts no tree.

    Args:
        pair: target and draft.
        policy: decides the trees.
        total_tokens: tokens of the prompt and of the output.
        stop_tokens: end-of-sequence ids; nodes that carry one get no children.
        sampler: sampler of the target; None for greedy decoding.
        draft_cache: compresses the draft's cache; None for a full cache.
        shared: the draft with one request's part of the cache of a batch; None for a cache of its own.
    """
    if not policy.max_children:
        return None
    model = None
    if policy.drafts_with_model:
        runner = shared or _draft_runner(pair, policy, total_tokens, sampler, draft_cache)
        if runner:
            model = _drafter_type(runner, policy)(runner, policy, stop_tokens)
    if policy.selector is None:
        return model
    timed = TimedDraft(model, _cost_model(pair, "draft"), pair.clock) if model else None
    chains = any(mode_of(model) == "chain" for model in pair.models.values())
    memory = memory_of(pair, policy.selector.memory)
    costs = _cost_model(pair, "target")
    return HybridDrafter(policy.selector, costs, timed, stop_tokens, pair.clock, chains, memory, pair.ngram_table)


def prepare_costs(pair: ModelPair, policy: Policy) -> None:
    """Load or measure the cost models that a policy needs, before a request has the buffers of recorded passes."""
    if policy.selector is None:
        return
    _cost_model(pair, "target")
    if policy.drafts_with_model and pair.draft is not None:
        _cost_model(pair, "draft")


def _drafter_type(runner: ModelRunner, policy: Policy) -> type[ModelDrafter]:
    if reads_states(runner.model):
        return HiddenStateDrafter
    return StaticTreeDrafter if _stays_on_device(runner) and policy.shape() else ModelDrafter


def _stays_on_device(runner: ModelRunner) -> bool:
    """Return True if drafted tokens that stay on the device save time; on a CPU, nodes below a stop token cost some."""
    if runner.cache.is_shared:
        return False  # one transfer serves all requests of a batch
    return runner.static is not None or runner.model.device.type == "cuda"


def _draft_runner(
    pair: ModelPair, policy: Policy, total_tokens: int, sampler: Sampler | None, draft_cache: Method | None
) -> ModelRunner | None:
    if pair.draft is None:
        return None
    if draft_cache:
        admit_compression(pair.draft, "draft")
    cache = draft_cache and CompressedTreeCache(pair.draft, draft_cache, total_tokens, policy.drafted_nodes)
    capacity = total_tokens + policy.drafted_nodes + 1
    proposals = vocabulary_size(pair.target)
    return ModelRunner(pair.draft, "draft", capacity, proposals, sampler, cache, pair.clock, pair.static.get("draft"))


def _cost_model(pair: ModelPair, role: Role) -> CostModel:
    known = pair.state.cost_models
    if role not in known:
        known[role] = load_cost_model(getattr(pair, role), pair.static.get(role), pair.tokenizer)
    return known[role]
