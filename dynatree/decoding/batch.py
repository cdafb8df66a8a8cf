"""Several prompts at once: each with its own tree, all verified by one pass of the target."""

from collections.abc import Iterable, Sequence

import torch
from transformers import PreTrainedModel

from dynatree.decoding.arguments import CacheMethods, check_lengths, encode, find_policy, find_stop_tokens
from dynatree.decoding.request import Request
from dynatree.decoding.results import Generation
from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.registry import find_method
from dynatree.models.batch_cache import BatchCache, BatchRow
from dynatree.models.forward import apply_head, hidden_states
from dynatree.models.masks import fill_padded_mask
from dynatree.models.pair import ModelPair
from dynatree.models.runner import ModelRunner
from dynatree.models.sampling import make_sampler
from dynatree.models.transfer import upload

Inputs = tuple[Sequence[int], Sequence[int], torch.Tensor | None]  # tokens, positions, visible, of one request


@torch.inference_mode()
def generate_batch(
    pair: ModelPair,
    prompts: Sequence[str | list[int] | torch.LongTensor],
    method: str = "dynatree",
    max_new_tokens: int = 128,
    eos_token_id: str | int | Iterable[int] | None = "auto",
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    draft_cache: str | tuple | dict | Method | None = None,
    target_cache: None = None,
    **options,
) -> list[Generation]:
    """Decode several prompts together; each output is that of :func:`dynatree.generate` for its prompt.

    Requests draft one after the other, each its own tree, and their trees are verified together, padded to the widest.
    One that is finished leaves the batch.

    Args:
        pair: target and draft.
        prompts: see :func:`dynatree.generate`.
        method: the name of a method.
        max_new_tokens: tokens to emit for each prompt unless an end-of-sequence token comes first.
        eos_token_id, temperature, top_k, top_p: see :func:`dynatree.generate`.
        seed: of the draws for the first prompt; the next one's is one more, and so on.
        draft_cache: see :func:`dynatree.generate`.
        target_cache: not for a batch, whose requests share one cache of the target.
        **options: options of the method.

    Returns:
        One generation for each prompt. The seconds of a request end when it leaves the batch and include the passes it
        shares; what a GPU has not finished when a pass returns is counted for the first request that reads it.

    Raises:
        DynatreeError: as :func:`dynatree.generate`; or ``method`` is a policy object, which follows one request only.
    """
    start = pair.clock()
    if not isinstance(method, str):
        raise DynatreeError("a policy object follows one request; give a batch the name of a method and its options")
    if find_method(target_cache):
        raise DynatreeError("target_cache serves one prompt at a time; leave it out or decode the prompts one by one")
    texts = [encode(pair, prompt) for prompt in prompts]
    policies = [find_policy(pair, method, options, draft_cache) for _ in texts]
    compression = CacheMethods(draft=find_method(draft_cache))
    for policy, tokens in zip(policies, texts, strict=True):
        check_lengths(pair, policy, tokens, max_new_tokens, compression)
    stop_tokens = find_stop_tokens(pair, eos_token_id)
    vocabulary = pair.target.config.vocab_size
    samplers = [make_sampler(temperature, top_k, top_p, seed + index, vocabulary) for index in range(len(texts))]
    if not texts:
        return []
    capacity = max(map(len, texts)) + max_new_tokens + max(policy.node_budget for policy in policies) + 1
    batch = CachedBatch(pair, samplers, capacity)
    requests = [
        Request(pair, member, policy, tokens, max_new_tokens, stop_tokens, start, len(texts), compression.draft)
        for member, policy, tokens in zip(batch.members, policies, texts, strict=True)
    ]
    if max_new_tokens:
        logits = batch.forward([(tokens, range(len(tokens)), None) for tokens in texts], last_only=True)
        for request, row in zip(requests, logits, strict=True):
            request.begin(row)
    active = requests
    while active := _unfinished(batch, active):
        logits = batch.forward([request.propose() for request in active])
        for request, rows in zip(active, logits, strict=True):
            request.accept(rows)
    return [request.generation for request in requests]


def _unfinished(batch: "CachedBatch", requests: list[Request]) -> list[Request]:
    """The requests that go on; the others are closed and leave the batch."""
    going = [index for index, request in enumerate(requests) if not request.finished]
    for request in requests:
        if request.finished:
            request.close()
        else:
            request.share(len(going))
    if going and len(going) < len(requests):
        batch.select(going)
    return [requests[index] for index in going]


class CachedBatch:
    """The target with one cache for several requests.

    Args:
        pair: whose target it is.
        samplers: of each request; None for greedy decoding.
        capacity: rows of each request's cache.

    Attributes:
        members: the target as each request sees it.
    """

    def __init__(self, pair: ModelPair, samplers: list, capacity: int):
        self.model: PreTrainedModel = pair.target
        self.clock = pair.clock
        self.cache = BatchCache(self.model.config.num_hidden_layers, len(samplers), capacity)
        self.members = [
            ModelRunner(self.model, "target", capacity, None, sampler, BatchRow(self.cache, index), pair.clock)
            for index, sampler in enumerate(samplers)
        ]

    def forward(self, inputs: list[Inputs], last_only: bool = False) -> list[torch.Tensor]:
        """One pass over the new tokens of all requests.

        Args:
            inputs: tokens, positions and ``visible`` of each request, see :meth:`ModelRunner.forward`.
            last_only: return the logits of each request's last new token only.

        Returns:
            Logits [n or 1, vocabulary] for each request.
        """
        start = self.clock()
        widths = [len(tokens) for tokens, _, _ in inputs]
        ids, positions, mask = self._padded(inputs, max(widths))
        hidden = hidden_states(self.model, ids, positions, mask, self.cache)  # [batch, n, hidden]
        read = [hidden[index, width - 1 if last_only else 0 : width] for index, width in enumerate(widths)]
        logits = apply_head(self.model.get_output_embeddings(), torch.cat(read)).split([len(rows) for rows in read])
        seconds = self.clock() - start
        for index, (member, width) in enumerate(zip(self.members, widths, strict=True)):
            member.note_pass(width, seconds)
            self.cache.lengths[index] += width
        return list(logits)

    def select(self, going: list[int]) -> None:
        """Let all requests but these leave."""
        self.cache.select(going)
        self.members = [self.members[index] for index in going]
        for index, member in enumerate(self.members):
            member.cache.request = index

    def _padded(self, inputs: list[Inputs], width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ids and positions [batch, width] and the mask [batch, 1, width, rows]; tells the cache where to write.

        Padding is written behind a request's own rows, where the next pass overwrites it, and sees its first row.
        """
        cache, lengths = self.cache, self.cache.lengths
        cache.end = max(lengths) + width
        ids, positions = torch.zeros(2, len(inputs), width, dtype=torch.int64)
        mask = torch.zeros(len(inputs), 1, width, cache.end, dtype=torch.bool)
        for index, ((tokens, places, visible), length) in enumerate(zip(inputs, lengths, strict=True)):
            n = len(tokens)
            ids[index, :n], positions[index, :n] = torch.as_tensor(tokens), torch.as_tensor(places)
            fill_padded_mask(mask[index, 0], n, length + n, visible)
        device = self.model.device
        cache.new_entries = upload(torch.tensor(lengths)[:, None] + torch.arange(width), device)
        return upload(ids, device), upload(positions, device), upload(mask, device)
