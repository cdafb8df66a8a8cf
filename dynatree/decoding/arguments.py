"""What the arguments of a request mean, and whether it can be served."""

from dataclasses import dataclass

import torch

from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.registry import find_method
from dynatree.models.pair import ModelPair
from dynatree.policies.registry import Policy, make_policy


@dataclass
class CacheMethods:
    """How the caches of a request are compressed; None where they are not."""

    target: Method | None = None
    draft: Method | None = None


def find_compression(policy: Policy, target_cache, draft_cache) -> CacheMethods:
    """The compression of both caches, see :func:`dynatree.kvcompress.registry.find_method`.

    Raises:
        DynatreeError: one cannot be read, or the target's leaves no room for drafted tokens.
    """
    target, draft = find_method(target_cache), find_method(draft_cache)
    if target and target.when != "prefill" and target.every == 1 and policy.most_children:
        raise DynatreeError(
            "target_cache evicts rows after every token, so no drafted token could be verified; "
            "set every (tokens between evictions) to 8 or more"
        )
    return CacheMethods(target, draft)


def find_policy(pair: ModelPair, method: str | Policy, options: dict, draft_cache=None) -> Policy:
    """The policy of a method: a new one, the one that the pair keeps for such a draft cache, or the one given."""
    if isinstance(method, str):
        policy = make_policy(method, **options)
        compression = find_method(draft_cache)
        key = repr(policy) if compression is None else f"{policy!r} with {compression!r}"
        return pair.learnt.setdefault(key, policy) if policy.lasting else policy
    if options:
        raise DynatreeError(f"options ({', '.join(options)}) go into the policy object, not beside it")
    return method


def encode(pair: ModelPair, prompt) -> list[int]:
    """The ids of a prompt; raise unless the target has them all."""
    if isinstance(prompt, str):
        if pair.tokenizer is None:
            raise DynatreeError("a text prompt needs a tokenizer; give the pair one or pass token ids")
        prompt = pair.tokenizer(prompt).input_ids
    if isinstance(prompt, torch.Tensor):
        if prompt.ndim == 2 and len(prompt) != 1:
            raise DynatreeError(f"one prompt at a time, not a batch of {len(prompt)}")
        prompt = prompt.flatten().tolist()
    tokens = [int(token) for token in prompt]
    if not tokens:
        raise DynatreeError("the prompt is empty; it needs at least one token")
    vocabulary = pair.target.config.vocab_size
    foreign = [token for token in tokens if not 0 <= token < vocabulary]
    if foreign:
        raise DynatreeError(f"the prompt contains token {foreign[0]}, but the target has tokens 0 to {vocabulary - 1}")
    return tokens


def check_lengths(
    pair: ModelPair, policy: Policy, prompt: list[int], max_new_tokens: int, compression: CacheMethods | None = None
) -> None:
    """Raise unless prompt and output fit the positions of the models that a policy needs.

    The tree of a draft whose keys are rotated may reach beyond these positions, which costs acceptance alone.
    """
    if not isinstance(max_new_tokens, int) or max_new_tokens < 0:
        raise DynatreeError(f"max_new_tokens must be a whole number of at least 0, not {max_new_tokens!r}")
    compression = compression or CacheMethods()
    models = {"target": (pair.target, compression.target)}
    if policy.needs_draft and pair.draft is None:
        raise DynatreeError(
            "this method needs a draft model, but the pair has none; 'autoregressive' and 'cost_aware' work without"
        )
    if policy.drafts_with_model and pair.draft is not None:
        models["draft"] = (pair.draft, compression.draft)
    for role, (model, method) in models.items():
        positions = model.config.max_position_embeddings
        total = len(prompt) + max_new_tokens
        if method is None or not method.rotates or method.when == "prefill":
            needed, remedy = total, "shorten the prompt or lower max_new_tokens"
        else:
            needed, remedy = _most_rows(method, len(prompt), total), f"lower budget or every of {role}_cache"
        if needed > positions:
            raise DynatreeError(
                f"the prompt ({len(prompt)} tokens) and {max_new_tokens} new tokens need {needed} positions, "
                f"but the {role} has {positions}; {remedy}{_endless(role, method, compression)}"
            )


def _most_rows(method: Method, prompt: int, total: int) -> int:
    """Rows that a cache whose keys are rotated to consecutive positions ever holds of a text of ``total`` tokens."""
    between = method.max_entries(total) + method.every
    return min(total, max(prompt + 1, between))


def _endless(role: str, method: Method | None, compression: CacheMethods) -> str:
    """What else helps where a compressed target could go on without end, but its draft could not."""
    if role == "draft" and method is None and compression.target and compression.target.rotates:
        return ', or give draft_cache a "streaming_llm" with rotate=True too'
    return ""


def find_stop_tokens(pair: ModelPair, eos_token_id) -> frozenset[int]:
    """The ids that end a request."""
    if eos_token_id == "auto":
        eos_token_id = pair.target.generation_config.eos_token_id
    if eos_token_id is None:
        return frozenset()
    if isinstance(eos_token_id, str):
        raise DynatreeError(f"eos_token_id must be 'auto', None, an id or several ids, not {eos_token_id!r}")
    ids = [eos_token_id] if isinstance(eos_token_id, int) else eos_token_id
    return frozenset(int(token) for token in ids)
