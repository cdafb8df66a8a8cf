"""What the arguments of a request mean, and whether it can be served."""

import torch

from dynatree.errors import DynatreeError
from dynatree.models import ModelPair
from dynatree.policies import Policy, make_policy


def find_policy(pair: ModelPair, method: str | Policy, options: dict) -> Policy:
    """The policy of a method: a new one, the one that the pair keeps, or the one given."""
    if isinstance(method, str):
        policy = make_policy(method, **options)
        return pair.learnt.setdefault(repr(policy), policy) if policy.lasting else policy
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


def check_lengths(pair: ModelPair, policy: Policy, prompt: list[int], max_new_tokens: int) -> None:
    """Raise unless prompt and output fit the positions of the models that a policy needs."""
    if not isinstance(max_new_tokens, int) or max_new_tokens < 0:
        raise DynatreeError(f"max_new_tokens must be a whole number of at least 0, not {max_new_tokens!r}")
    needed = len(prompt) + max_new_tokens
    models = {"target": pair.target}
    if policy.needs_draft and pair.draft is None:
        raise DynatreeError(
            "this method needs a draft model, but the pair has none; 'autoregressive' and 'throughput' work without"
        )
    if policy.drafts_with_model and pair.draft is not None:
        models["draft"] = pair.draft
    for role, model in models.items():
        positions = model.config.max_position_embeddings
        if needed > positions:
            raise DynatreeError(
                f"the prompt ({len(prompt)} tokens) and {max_new_tokens} new tokens need {needed} positions, "
                f"but the {role} has {positions}; shorten the prompt or lower max_new_tokens"
            )


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
