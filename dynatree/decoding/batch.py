"""Several prompts at once: each has its own tree, and one forward pass of the target verifies all trees."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from dynatree.decoding.arguments import (
    CacheMethods,
    Exactness,
    RequestOptions,
    find_policy,
    find_stop_tokens,
    request_options,
)
from dynatree.decoding.batch_draft import Drafts, batch_draft
from dynatree.decoding.batch_runner import BatchRunner, StrictBatchRunner
from dynatree.decoding.prompts import EosTokens, Prompt, batch_prompts, encode
from dynatree.decoding.request import Inputs, Request
from dynatree.decoding.results import Generation
from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Method
from dynatree.models.exclusive import exclusive
from dynatree.models.independence import check_independence
from dynatree.models.modes import mode_of
from dynatree.models.pair import ModelPair
from dynatree.models.positions import switching_length
from dynatree.models.sampling import SamplingOptions
from dynatree.models.strict import StrictModel
from dynatree.models.text_rules import CallerRules
from dynatree.policies.base import Policy
from dynatree.utils.validate import whole_number


def generate_batch(
    pair: ModelPair,
    prompts: Sequence[Prompt] | Mapping[str, Any] | torch.Tensor | Any,
    method: str | Policy = "cost_aware",
    max_new_tokens: int = 128,
    eos_token_id: EosTokens = "auto",
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    draft_cache: str | tuple[str, dict[str, Any]] | dict[str, Any] | Method | None = None,
    target_cache: None = None,
    exact: Exactness | None = None,
    stop_strings: str | Sequence[str] = (),
    **options: Any,
) -> list[Generation]:
    """Decode several prompts together; each output is that of :func:`dynatree.generate` for its prompt.

    Each request drafts its own tree. One forward pass of the draft serves a level of all trees, unless ``draft_cache``
    is given, and one of the target verifies all trees, padded to the widest. A finished request leaves the batch.

    Args:
        pair: target and draft.
        prompts: a list of prompts, see :func:`dynatree.generate`; an array of rows; or the result of a tokenizer for
            several texts, whose padding on the left is left out.
        method: name of a method; a policy object serves one request only.
        max_new_tokens: tokens to emit for each prompt unless an end-of-sequence token comes first.
        eos_token_id: see :func:`dynatree.generate`.
        temperature: see :func:`dynatree.generate`.
        top_k: see :func:`dynatree.generate`.
        top_p: see :func:`dynatree.generate`.
        seed: seed of the draws for the first prompt; each following prompt adds one.
        draft_cache: see :func:`dynatree.generate`.
        target_cache: must be None, because the requests of a batch share the cache of the target.
        exact: see :func:`dynatree.generate`; each output is that of plain decoding for its prompt alone.
        stop_strings: see :func:`dynatree.generate`.
        **options: options of the method.

    Returns:
        One generation for each prompt. The seconds of a request end when it leaves the batch and include the forward
        passes that it shares. Work that a GPU has not finished when a forward pass returns counts for the first
        request that reads the result.

    Raises:
        DynatreeError: as :func:`dynatree.generate`; or ``method`` is a policy object.
    """
    started = pair.clock()
    if not isinstance(method, str):
        raise DynatreeError("a policy object follows one request; give a batch the name of a method and its options")
    caches = CacheMethods.parse(target_cache, draft_cache)
    if caches.target:
        raise DynatreeError("target_cache serves one prompt at a time; leave it out or decode the prompts one by one")
    texts = [encode(pair, prompt) for prompt in batch_prompts(prompts)]
    stop_tokens = find_stop_tokens(pair, eos_token_id)
    first_seed = whole_number("seed", seed, 0)
    requested = [
        request_options(
            pair,
            tokens,
            find_policy(pair, method, options, caches.draft),
            max_new_tokens,
            stop_tokens,
            SamplingOptions(temperature, top_k, top_p, first_seed + index),
            caches,
            started,
            exact=exact,
            rules=CallerRules(stop_strings=stop_strings),
        )
        for index, tokens in enumerate(texts)
    ]
    return decode_batch(pair, requested)


@torch.inference_mode()
def decode_batch(pair: ModelPair, requested: list[RequestOptions]) -> list[Generation]:
    """Decode requests together whose arguments are checked; see :func:`generate_batch`.

    Args:
        pair: target and draft.
        requested: the requests; none of them compresses the cache of the target.

    Raises:
        DynatreeError: the requests would change each other, because the forward passes of the target or its rotary
            frequencies depend on all tokens of a batch.
    """
    if not requested:
        return []
    if mode_of(pair.target) == "chain":
        raise DynatreeError(
            f"a {type(pair.target).__name__} reads one text in order, not the trees of a batch; decode the prompts one "
            "by one"
        )
    if len(requested) > 1:
        _check_frequencies(pair.target, max(request.total_tokens for request in requested))
    with exclusive(pair.models.values()):
        check_independence(pair.target, batch=len(requested) > 1)
        return _decode_together(pair, requested)


def _decode_together(pair: ModelPair, requested: list[RequestOptions]) -> list[Generation]:
    node_budget = max(request.policy.node_budget for request in requested)
    tokens = max(request.total_tokens for request in requested)
    samplers = [request.sampler for request in requested]
    if requested[0].strict:
        strict = StrictModel(pair.target, node_budget + 1)
        batch = StrictBatchRunner(pair, samplers, tokens + node_budget + 1, strict)
    else:
        batch = BatchRunner(pair, "target", samplers, tokens + node_budget + 1)
    drafts = batch_draft(pair, requested, tokens)
    requests = [
        Request(pair, member, one, draft=draft if one.drafts else None)
        for member, one, draft in zip(batch.members, requested, drafts.members, strict=True)
    ]
    texts: list[Inputs] = [(one.prompt, list(range(len(one.prompt))), None) for one in requested if one.max_new_tokens]
    if texts:
        logits = batch.forward(texts, last_only=True)
        for request, row in zip(requests, logits, strict=True):
            request.begin(row)
    active = requests
    while active := _unfinished(batch, drafts, active):
        logits = batch.forward(drafts.propose(active))
        for request, rows in zip(active, logits, strict=True):
            request.accept(rows)
    return [request.generation or request.close() for request in requests]


def _check_frequencies(model: PreTrainedModel, tokens: int) -> None:
    switch = switching_length(model.config)
    if switch is not None and tokens > switch:
        raise DynatreeError(
            f"the rotary frequencies of the target depend on the longest text beyond {switch} tokens, and a request of "
            f"the batch may reach {tokens}; decode the prompts one by one"
        )


def _unfinished(batch: BatchRunner | StrictBatchRunner, drafts: Drafts, requests: list[Request]) -> list[Request]:
    """Return the unfinished requests. Close the others and remove them from the batch."""
    unfinished = [index for index, request in enumerate(requests) if not request.finished]
    for request in requests:
        if request.finished:
            request.close()
        else:
            request.share(len(unfinished))
    if unfinished and len(unfinished) < len(requests):
        batch.select(unfinished)
        drafts.select(unfinished)
    return [requests[index] for index in unfinished]
