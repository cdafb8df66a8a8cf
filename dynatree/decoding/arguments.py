"""The arguments of a request: parsed once, checked, and kept in dataclasses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from transformers import GenerationConfig, PreTrainedModel

from dynatree.decoding.past import Past
from dynatree.decoding.prompts import EosTokens, Prompt, encode, stop_ids
from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.registry import CacheArgument, find_method
from dynatree.models.generation_config import check_generation_config
from dynatree.models.modes import mode_of
from dynatree.models.pair import ModelPair, PolicyKey
from dynatree.models.positions import reading_again_length, served_positions
from dynatree.models.sampling import Sampler, SamplingOptions, make_sampler
from dynatree.models.state_embedding import reads_states
from dynatree.models.strict import check_strict
from dynatree.models.supported import check_forward, vocabulary_size
from dynatree.models.text_rules import NO_RULES, CallerRules, TextRules, prepare_rules
from dynatree.policies.base import Policy
from dynatree.policies.calibration import TABLE
from dynatree.policies.registry import make_policy
from dynatree.tree import TokenTree
from dynatree.utils.validate import whole_number

Exactness = Literal["strict"]


@dataclass(frozen=True)
class CacheMethods:
    """The methods that compress the caches of a request; None for a full cache."""

    target: Method | None = None
    draft: Method | None = None

    @classmethod
    def parse(cls, target_cache: CacheArgument = None, draft_cache: CacheArgument = None) -> "CacheMethods":
        """Return the methods that two arguments ask for, see :func:`dynatree.kvcompress.registry.find_method`."""
        return cls(find_method(target_cache), find_method(draft_cache))


@dataclass(frozen=True)
class PreparedRules:
    """The settings of a call of ``model.generate``, and the functions that it has built from them."""

    settings: GenerationConfig
    rules: TextRules | None


FULL_CACHES = CacheMethods()
GREEDY = SamplingOptions()


@dataclass(frozen=True)
class Callbacks:
    """Functions that a request calls, see :func:`dynatree.generate`."""

    on_tokens: Callable[[list[int], int], None] | None = None
    on_round: Callable[[TokenTree, list[int], int], None] | None = None


NO_CALLBACKS = Callbacks()


@dataclass(frozen=True)
class RequestOptions:
    """The checked arguments of a request.

    Attributes:
        prompt: token ids.
        policy: decides the trees.
        max_new_tokens: tokens to emit unless an end-of-sequence token comes first.
        stop_tokens: end-of-sequence ids.
        sampler: draws tokens; None for greedy decoding.
        caches: compression of the caches.
        started: start of the request on the pair's clock.
        keep_candidates: True keeps the candidates of each round in its :class:`dynatree.decoding.results.Round`.
        drafts: False if the text exceeds the positions of a draft that the policy can do without.
        strict: True if the output must be that of plain decoding in the target's number format.
        rules: logits processors and stopping criteria; None without any.
        past: entries of an earlier text, replaced by those of this one; None to read the complete prompt.
    """

    prompt: list[int]
    policy: Policy
    max_new_tokens: int
    stop_tokens: frozenset[int]
    sampler: Sampler | None
    caches: CacheMethods
    started: float
    keep_candidates: bool = False
    drafts: bool = True
    strict: bool = False
    rules: TextRules | None = None
    past: Past | None = None

    @property
    def total_tokens(self) -> int:
        """Tokens of the prompt and of the output."""
        return len(self.prompt) + self.max_new_tokens


def request_options(
    pair: ModelPair,
    prompt: Prompt,
    policy: Policy,
    max_new_tokens: int,
    eos_token_id: EosTokens,
    sampling: SamplingOptions = GREEDY,
    caches: CacheMethods = FULL_CACHES,
    started: float | None = None,
    keep_candidates: bool = False,
    exact: Exactness | None = None,
    rules: CallerRules = NO_RULES,
    prepared: PreparedRules | None = None,
    past: Past | None = None,
) -> RequestOptions:
    """Return the checked arguments of a request.

    Args:
        pair: target and draft.
        prompt: see :func:`dynatree.generate`.
        policy: decides the trees.
        max_new_tokens: tokens to emit unless an end-of-sequence token comes first.
        eos_token_id: see :func:`dynatree.generate`.
        sampling: how tokens are drawn.
        caches: compression of the caches.
        started: start of the request on the pair's clock; None for the current time.
        keep_candidates: see :class:`RequestOptions`.
        exact: see :func:`dynatree.generate`.
        rules: logits processors and stopping criteria of the caller, beside those that the generation config of the
            target asks for.
        prepared: settings and functions of a call of ``model.generate``, instead of those.
        past: see :class:`RequestOptions`.

    Raises:
        DynatreeError: an argument is wrong, the text does not fit the positions of a model, or the settings or the
            target ask for something that decoding with trees does not apply.
    """
    started = pair.clock() if started is None else started
    check_forward(pair.target, "target")
    check_caches(policy, caches)
    check_shape(pair, policy)
    strict = _is_strict(pair, caches, exact)
    tokens = encode(pair, prompt)
    max_new_tokens = whole_number("max_new_tokens", max_new_tokens, 0)
    border = reading_again_length(pair.target)
    if caches.target and border is not None and len(tokens) + max_new_tokens > border:
        raise DynatreeError(
            f"the target reads its text again after {border} tokens, which a compressed target_cache has no room for; "
            "leave out target_cache or shorten the text"
        )
    needs = check_lengths(pair, policy, len(tokens), max_new_tokens, caches)
    stop_tokens = find_stop_tokens(pair, eos_token_id)
    sampler = make_sampler(sampling, vocabulary_size(pair.target))
    if prepared is None:
        check_generation_config(pair.target.generation_config, pair.target.config)
        text_rules = prepare_rules(pair.target, pair.tokenizer, tokens, max_new_tokens, stop_tokens, sampling, rules)
    else:
        check_generation_config(prepared.settings, several=True)
        text_rules = prepared.rules
    return RequestOptions(
        tokens,
        policy,
        max_new_tokens,
        stop_tokens,
        sampler,
        caches,
        started,
        keep_candidates,
        needs,
        strict,
        text_rules,
        past,
    )


def _is_strict(pair: ModelPair, caches: CacheMethods, exact: Exactness | None) -> bool:
    """Return True for "strict"; raise if it is another word, or if the pair or the cache exclude it."""
    if exact is None:
        return False
    if exact != "strict":
        raise DynatreeError(f"exact must be 'strict' or None, not {exact!r}")
    if caches.target:
        raise DynatreeError("exact='strict' is the text of a full cache; leave out target_cache")
    if "target" in pair.static:
        raise DynatreeError(
            "exact='strict' needs forward passes of ordinary shapes; load the pair with backend='stock'"
        )
    if reads_states(pair.draft):
        raise DynatreeError(
            "exact='strict' keeps no hidden states of the target, which this draft reads; load another draft or none"
        )
    if mode_of(pair.target) != "grouped":
        raise DynatreeError(
            "exact='strict' serves models without an attention or a cache of their own; leave out exact"
        )
    check_strict(pair.target)
    return True


def find_policy(
    pair: ModelPair, method: str | Policy, options: dict[str, Any], draft_cache: Method | None = None
) -> Policy:
    """Return the policy of a method: a new one, or the persistent one that the pair keeps.

    Args:
        pair: target and draft.
        method: name of a method, or a policy, which is returned as it is.
        options: options of the method.
        draft_cache: compresses the draft's cache. The pair keeps one persistent policy for each method.

    Raises:
        DynatreeError: the method or an option is unknown, an option is out of range, or a policy has options beside it.
    """
    if isinstance(method, Policy):
        if options:
            raise DynatreeError(f"options ({', '.join(options)}) go into the policy object, not beside it")
        return method
    policy = make_policy(method, **options)
    if not policy.persistent:
        return policy
    key = PolicyKey(repr(policy), repr(draft_cache) if draft_cache else "")
    return pair.state.policies.setdefault(key, policy)


def check_shape(pair: ModelPair, policy: Policy) -> None:
    """Raise if a policy draws trees that a model does not take, or that differ between its processes."""
    if policy.selector is not None and getattr(pair.target, "_tp_size", None):
        raise DynatreeError(
            "the processes of a tensor-parallel target measure different times, and 'cost_aware' would draw different "
            "trees in each; use method='chain', 'fixed_tree' or 'dynatree'"
        )
    if policy.max_children <= 1 or policy.selector is not None:
        return
    for role, model in pair.models.items():
        if mode_of(model) == "chain":
            raise DynatreeError(
                f"the {role} {type(model).__name__} reads tokens in order, so it takes chains and no trees; use "
                "method='chain', 'cost_aware' or 'autoregressive'"
            )


def check_caches(policy: Policy, caches: CacheMethods) -> None:
    """Raise if the compression of the target's cache evicts entries before any drafted token can be verified."""
    target = caches.target
    if target and target.when != "prefill" and target.every == 1 and policy.max_children:
        raise DynatreeError(
            "target_cache evicts entries after every token, so no drafted token could be verified; "
            "set every (tokens between evictions) to 8 or more"
        )


def check_lengths(
    pair: ModelPair, policy: Policy, prompt_length: int, max_new_tokens: int, caches: CacheMethods
) -> bool:
    """Raise unless prompt and output fit the positions of the models that the policy needs.

    The tree of a draft whose keys are rotated may exceed these positions; this lowers only the acceptance rate.

    Args:
        pair: target and draft.
        policy: decides the trees.
        prompt_length: tokens of the prompt.
        max_new_tokens: tokens to emit.
        caches: compression of the caches.

    Returns:
        True if the text fits the positions of the draft, too. A policy that does not need the draft goes on without.

    Raises:
        DynatreeError: the text does not fit, or a draft is missing.
    """
    if policy.needs_draft and pair.draft is None:
        raise DynatreeError(
            "this method needs a draft model, but the pair has none; 'autoregressive' and 'cost_aware' work without"
        )
    given = {"model": pair.draft, TABLE: pair.ngram_table}
    if policy.selector and all(given.get(name, name) is None for name in policy.selector.sources):
        raise DynatreeError(
            "the sources 'model' and 'table' need a draft model or an n-gram table, but the pair has neither; choose "
            "'ngram' or 'recycling', or load a draft or a table"
        )
    message = _too_long("target", pair.target, caches.target, prompt_length, max_new_tokens)
    if message:
        raise DynatreeError(message)
    if not policy.drafts_with_model or pair.draft is None:
        return True
    message = _too_long("draft", pair.draft, caches.draft, prompt_length, max_new_tokens)
    if message and policy.needs_draft:
        raise DynatreeError(message + _draft_remedy(caches))
    return not message


def _too_long(
    role: str, model: PreTrainedModel, method: Method | None, prompt_length: int, max_new_tokens: int
) -> str | None:
    """Return the error of a text that exceeds the positions of a model; None if it fits."""
    positions, total = served_positions(model.config), prompt_length + max_new_tokens
    if method is None or not method.rotates or method.when == "prefill":
        needed, remedy = total, "shorten the prompt or lower max_new_tokens"
    else:
        needed, remedy = _max_entries(method, prompt_length, total), f"lower budget or every of {role}_cache"
    if needed <= positions:
        return None
    return (
        f"the prompt ({prompt_length} tokens) and {max_new_tokens} new tokens need {needed} positions, "
        f"but the {role} has {positions}; {remedy}"
    )


def _max_entries(method: Method, prompt_length: int, total: int) -> int:
    """Largest number of entries of a cache whose keys are rotated, in a text of ``total`` tokens."""
    between = method.max_entries(total) + method.every
    return min(total, max(prompt_length + 1, between))


def _draft_remedy(caches: CacheMethods) -> str:
    """Return the remedy if only the draft's full cache limits the length of the text."""
    if caches.draft is None and caches.target and caches.target.rotates:
        return ', or give draft_cache a "streaming_llm" with rotate=True too'
    return ""


def find_stop_tokens(pair: ModelPair, eos_token_id: EosTokens) -> frozenset[int]:
    """Return the token ids that end a request.

    Args:
        pair: target and draft.
        eos_token_id: see :func:`dynatree.generate`.

    Raises:
        DynatreeError: ``eos_token_id`` is neither "auto" nor ids.
    """
    return stop_ids(pair.eos_token_id if isinstance(eos_token_id, str) and eos_token_id == "auto" else eos_token_id)
