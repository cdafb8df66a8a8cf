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
from dynatree.decoding.prompts import EosTokens, Prompt, batch_prompts, encode
from dynatree.decoding.request import Inputs, Request
from dynatree.decoding.results import Generation
from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Method
from dynatree.models.batch_cache import BatchCache, BatchRow
from dynatree.models.exclusive import exclusive
from dynatree.models.forward import forward_logits
from dynatree.models.independence import check_independence
from dynatree.models.layout import PassLayout
from dynatree.models.masks import fill_padded_mask
from dynatree.models.modes import implementation_of, layer_kinds, mode_of
from dynatree.models.pair import ModelPair
from dynatree.models.positions import switching_length
from dynatree.models.runner import ModelRunner
from dynatree.models.sampling import Sampler, SamplingOptions
from dynatree.models.strict import StrictModel
from dynatree.models.text_rules import CallerRules
from dynatree.models.transfer import input_device, upload
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

    Requests draft one after the other, each its own tree. Their trees are verified together, padded to the widest. A
    finished request leaves the batch.

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
    capacity = max(request.total_tokens for request in requested) + node_budget + 1
    samplers = [request.sampler for request in requested]
    if requested[0].strict:
        batch = StrictBatchRunner(pair, samplers, capacity, StrictModel(pair.target, node_budget + 1))
    else:
        batch = BatchRunner(pair, samplers, capacity)
    requests = [Request(pair, member, one) for member, one in zip(batch.members, requested, strict=True)]
    texts: list[Inputs] = [(one.prompt, list(range(len(one.prompt))), None) for one in requested if one.max_new_tokens]
    if texts:
        logits = batch.forward(texts, last_only=True)
        for request, row in zip(requests, logits, strict=True):
            request.begin(row)
    active = requests
    while active := _unfinished(batch, active):
        logits = batch.forward([request.propose() for request in active])
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


def _unfinished(batch: "BatchRunner | StrictBatchRunner", requests: list[Request]) -> list[Request]:
    """Return the unfinished requests. Close the others and remove them from the batch."""
    unfinished = [index for index, request in enumerate(requests) if not request.finished]
    for request in requests:
        if request.finished:
            request.close()
        else:
            request.share(len(unfinished))
    if unfinished and len(unfinished) < len(requests):
        batch.select(unfinished)
    return [requests[index] for index in unfinished]


class BatchRunner:
    """The target with one cache for several requests.

    Args:
        pair: supplies the target.
        samplers: sampler of each request; None for greedy decoding.
        capacity: cache entries of each request.

    Attributes:
        members: the view of each request on the target.
    """

    def __init__(self, pair: ModelPair, samplers: Sequence[Sampler | None], capacity: int):
        self.model: PreTrainedModel = pair.target
        self.clock = pair.clock
        kinds = layer_kinds(self.model)
        self.cache = BatchCache(len(kinds), len(samplers), capacity, kinds)
        self._parts = [BatchRow(self.cache, index) for index in range(len(samplers))]
        self.members = [
            ModelRunner(self.model, "target", capacity, None, sampler, part, pair.clock)
            for sampler, part in zip(samplers, self._parts, strict=True)
        ]

    def forward(self, inputs: list[Inputs], last_only: bool = False) -> list[torch.Tensor]:
        """Run the target over the new tokens of all requests in one forward pass.

        Args:
            inputs: tokens, positions and visible entries of each request, see :meth:`ModelRunner.forward`.
            last_only: return the logits of each request's last new token only.

        Returns:
            Logits [n or 1, vocabulary] for each request.
        """
        start = self.clock()
        widths = [len(tokens) for tokens, _, _ in inputs]
        longest = max(widths)
        ids, positions, layout = self._padded(inputs, longest)
        read = [
            range(index * longest + (width - 1 if last_only else 0), index * longest + width)
            for index, width in enumerate(widths)
        ]
        rows = upload([row for one in read for row in one], ids.device)
        implementation = implementation_of(self.model)
        scored = forward_logits(
            self.model, ids, positions, layout, self.cache, rows=rows, implementation=implementation
        )
        logits = torch.split(scored, [len(one) for one in read])
        seconds = self.clock() - start
        for index, (member, width) in enumerate(zip(self.members, widths, strict=True)):
            member.record_shared_pass(width, seconds)
            self.cache.lengths[index] += width
        return list(logits)

    def select(self, requests: list[int]) -> None:
        """Remove all requests except ``requests`` from the batch."""
        self.cache.select(requests)
        self._parts = [self._parts[index] for index in requests]
        self.members = [self.members[index] for index in requests]
        for index, part in enumerate(self._parts):
            part.request = index

    def _padded(self, inputs: list[Inputs], width: int) -> tuple[torch.Tensor, torch.Tensor, PassLayout]:
        """Ids and position ids [batch, width] and the layout of the forward pass; sets the entries to write.

        Padding is written past the entries of a request, where the next forward pass overwrites it, and attends to the
        first entry.
        """
        cache, lengths = self.cache, self.cache.lengths
        cache.end = max(lengths) + width
        ids, position_ids = torch.zeros(2, len(inputs), width, dtype=torch.int64)
        mask = torch.zeros(len(inputs), 1, width, cache.end, dtype=torch.bool)
        entries = torch.arange(cache.end).repeat(len(inputs), 1)
        for index, ((tokens, positions, visible), length) in enumerate(zip(inputs, lengths, strict=True)):
            n = len(tokens)
            ids[index, :n], position_ids[index, :n] = torch.as_tensor(tokens), torch.as_tensor(positions)
            fill_padded_mask(mask[index, 0], n, length + n, visible)
            entries[index, length : length + width] = position_ids[index]
        device = input_device(self.model)
        cache.new_entries = torch.tensor(lengths)[:, None] + torch.arange(width)
        return upload(ids, device), upload(position_ids, device), PassLayout(mask, position_ids, entries)


class StrictBatchRunner:
    """The target for requests that keep a cache each and verify their trees in one forward pass, without padding.

    Args:
        pair: supplies the target.
        samplers: sampler of each request; None for greedy decoding.
        capacity: cache entries of each request.
        strict: the target.

    Attributes:
        members: the view of each request on the target.
    """

    def __init__(self, pair: ModelPair, samplers: Sequence[Sampler | None], capacity: int, strict: StrictModel):
        self.clock = pair.clock
        self.strict = strict
        self.members = [
            ModelRunner(pair.target, "target", capacity, None, sampler, None, pair.clock, strict=strict)
            for sampler in samplers
        ]

    def forward(self, inputs: list[Inputs], last_only: bool = False) -> list[torch.Tensor]:
        """Run the target over the trees of all requests; read prompts (``last_only``) one by one.

        Args:
            inputs: see :meth:`BatchRunner.forward`.
            last_only: see :meth:`BatchRunner.forward`.

        Returns:
            Logits [n or 1, vocabulary] for each request.
        """
        requests = list(zip(self.members, inputs, strict=True))
        if last_only:
            return [member.forward(*one, last_only=True) for member, one in requests]
        start = self.clock()
        logits = self.strict.forward([member.tree(*one) for member, one in requests])
        seconds = self.clock() - start
        for member, (tokens, _, _) in requests:
            member.record_shared_pass(len(tokens), seconds)
        return logits

    def select(self, requests: list[int]) -> None:
        """Remove all requests except ``requests`` from the batch."""
        self.members = [self.members[index] for index in requests]
