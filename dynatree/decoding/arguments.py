"""The arguments of a request: parsed once, checked, and kept in dataclasses."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.registry import CacheArgument, find_method
from dynatree.models.pair import ModelPair, PolicyKey
from dynatree.models.sampling import Sampler, SamplingOptions, make_sampler
from dynatree.models.transfer import token_list
from dynatree.policies.base import Policy
from dynatree.policies.registry import make_policy
from dynatree.tree import TokenTree

Prompt = str | list[int] | torch.Tensor
EosTokens = str | int | Iterable[int] | None


@dataclass(frozen=True)
class CacheMethods:
    """The methods that compress the caches of a request; None for a full cache."""

    target: Method | None = None
    draft: Method | None = None

    @classmethod
    def parse(cls, target_cache: CacheArgument = None, draft_cache: CacheArgument = None) -> "CacheMethods":
        """Return the methods that two arguments ask for, see :func:`dynatree.kvcompress.registry.find_method`."""
        return cls(find_method(target_cache), find_method(draft_cache))


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
    """

    prompt: list[int]
    policy: Policy
    max_new_tokens: int
    stop_tokens: frozenset[int]
    sampler: Sampler | None
    caches: CacheMethods
    started: float
    keep_candidates: bool = False

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

    Raises:
        DynatreeError: an argument is wrong, or the text does not fit the positions of a model.
    """
    started = pair.clock() if started is None else started
    check_caches(policy, caches)
    tokens = encode(pair, prompt)
    check_lengths(pair, policy, len(tokens), max_new_tokens, caches)
    stop_tokens = find_stop_tokens(pair, eos_token_id)
    sampler = make_sampler(sampling, pair.target.config.vocab_size)
    return RequestOptions(tokens, policy, max_new_tokens, stop_tokens, sampler, caches, started, keep_candidates)


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


def check_caches(policy: Policy, caches: CacheMethods) -> None:
    """Raise if the compression of the target's cache evicts entries before any drafted token can be verified."""
    target = caches.target
    if target and target.when != "prefill" and target.every == 1 and policy.max_children:
        raise DynatreeError(
            "target_cache evicts entries after every token, so no drafted token could be verified; "
            "set every (tokens between evictions) to 8 or more"
        )


def encode(pair: ModelPair, prompt: Prompt) -> list[int]:
    """Return the token ids of a prompt; raise if it is empty or contains an id that the target lacks."""
    if isinstance(prompt, str):
        if pair.tokenizer is None:
            raise DynatreeError("a text prompt needs a tokenizer; give the pair one or pass token ids")
        prompt = pair.tokenizer(prompt).input_ids
    if isinstance(prompt, torch.Tensor):
        if prompt.ndim == 2 and len(prompt) != 1:
            raise DynatreeError(f"one prompt at a time, not a batch of {len(prompt)}")
        prompt = token_list(prompt)
    tokens = [int(token) for token in prompt]
    if not tokens:
        raise DynatreeError("the prompt is empty; it needs at least one token")
    vocabulary = pair.target.config.vocab_size
    foreign = [token for token in tokens if not 0 <= token < vocabulary]
    if foreign:
        raise DynatreeError(f"the prompt contains token {foreign[0]}, but the target has tokens 0 to {vocabulary - 1}")
    return tokens


def check_lengths(
    pair: ModelPair, policy: Policy, prompt_length: int, max_new_tokens: Any, caches: CacheMethods
) -> None:
    """Raise unless prompt and output fit the positions of the models that the policy needs.

    The tree of a draft whose keys are rotated may exceed these positions; this lowers only the acceptance rate.

    Args:
        pair: target and draft.
        policy: decides the trees.
        prompt_length: tokens of the prompt.
        max_new_tokens: tokens to emit.
        caches: compression of the caches.

    Raises:
        DynatreeError: the text does not fit, a draft is missing, or ``max_new_tokens`` is not a whole number.
    """
    if not isinstance(max_new_tokens, int) or max_new_tokens < 0:
        raise DynatreeError(f"max_new_tokens must be a whole number of at least 0, not {max_new_tokens!r}")
    models = {"target": (pair.target, caches.target)}
    if policy.needs_draft and pair.draft is None:
        raise DynatreeError(
            "this method needs a draft model, but the pair has none; 'autoregressive' and 'cost_aware' work without"
        )
    if policy.drafts_with_model and pair.draft is not None:
        models["draft"] = (pair.draft, caches.draft)
    for role, (model, method) in models.items():
        positions = model.config.max_position_embeddings
        total = prompt_length + max_new_tokens
        if method is None or not method.rotates or method.when == "prefill":
            needed, remedy = total, "shorten the prompt or lower max_new_tokens"
        else:
            needed, remedy = _max_entries(method, prompt_length, total), f"lower budget or every of {role}_cache"
        if needed > positions:
            raise DynatreeError(
                f"the prompt ({prompt_length} tokens) and {max_new_tokens} new tokens need {needed} positions, "
                f"but the {role} has {positions}; {remedy}{_draft_remedy(role, method, caches)}"
            )


def _max_entries(method: Method, prompt_length: int, total: int) -> int:
    """Largest number of entries of a cache whose keys are rotated, in a text of ``total`` tokens."""
    between = method.max_entries(total) + method.every
    return min(total, max(prompt_length + 1, between))


def _draft_remedy(role: str, method: Method | None, caches: CacheMethods) -> str:
    """Return the remedy if only the draft's full cache limits the length of the text."""
    if role == "draft" and method is None and caches.target and caches.target.rotates:
        return ', or give draft_cache a "streaming_llm" with rotate=True too'
    return ""


def find_stop_tokens(pair: ModelPair, eos_token_id: EosTokens) -> frozenset[int]:
    """Return the token ids that end a request.

    Args:
        pair: target and draft.
        eos_token_id: see :func:`dynatree.generate`.

    Raises:
        DynatreeError: ``eos_token_id`` is a string other than "auto".
    """
    if eos_token_id == "auto":
        eos_token_id = pair.eos_token_id
    if eos_token_id is None:
        return frozenset()
    if isinstance(eos_token_id, str):
        raise DynatreeError(f"eos_token_id must be 'auto', None, an id or several ids, not {eos_token_id!r}")
    ids = [eos_token_id] if isinstance(eos_token_id, int) else eos_token_id
    return frozenset(int(token) for token in ids)
