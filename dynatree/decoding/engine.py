"""The decoding loop: draft, verify, accept, keep, observe."""

from collections.abc import Callable, Iterable

import torch

from dynatree.decoding.arguments import check_lengths, encode, find_compression, find_policy, find_stop_tokens
from dynatree.decoding.request import Request
from dynatree.decoding.results import Generation
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.tree_cache import CompressedTreeCache
from dynatree.models.pair import ModelPair
from dynatree.models.runner import ModelRunner
from dynatree.models.sampling import make_sampler
from dynatree.policies.registry import Policy
from dynatree.tree import TokenTree


@torch.inference_mode()
def generate(
    pair: ModelPair,
    prompt: str | list[int] | torch.LongTensor,
    method: str | Policy = "dynatree",
    max_new_tokens: int = 128,
    eos_token_id: str | int | Iterable[int] | None = "auto",
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    on_tokens: Callable[[list[int], int], None] | None = None,
    on_round: Callable[[TokenTree, list[int], int], None] | None = None,
    on_candidates: Callable[[TokenTree], None] | None = None,
    draft_cache: str | tuple | dict | Method | None = None,
    target_cache: str | tuple | dict | Method | None = None,
    **options,
) -> Generation:
    """Decode; in float32 greedily token for token what ``pair.target.generate(do_sample=False)`` returns.

    With a temperature, every method draws what "autoregressive" draws with the same seed.

    Args:
        pair: target and draft.
        prompt: text, token ids, or a tensor of ids [n] or [1, n].
        method: "autoregressive", "chain", "fixed_tree", "dynatree" or "cost_aware"; or a policy object, which keeps
            what it learnt for the next request. The pair keeps it for "cost_aware".
        max_new_tokens: tokens to emit unless an end-of-sequence token comes first.
        eos_token_id: "auto" for the target's own, None to never stop early, an id, or several.
        temperature: 0 for greedy decoding; else logits are divided by it and tokens drawn.
        top_k: draw from the k most likely tokens only; None for all.
        top_p: draw from the most likely tokens that together just reach this probability; None for all.
        seed: of the draws.
        on_tokens: called with each round's tokens and the number of those that were drafted, as they are emitted.
        on_round: called with each round's tree, the indices of its accepted nodes and the target's own next token,
            before any of them is cut off by the end of the request.
        on_candidates: called with each round's candidates, the tree that the one to verify was chosen from.
        draft_cache: compresses the draft's cache; the output stays the same. A name of
            :data:`dynatree.kvcompress.METHODS`, "name:option=value,option=value", a pair (name, options), a mapping
            of "method" and options, or a method object.
        target_cache: compresses the target's cache, which changes the output: it is that of "autoregressive" with the
            same ``target_cache``. Rows are evicted each time the text has grown by the method's ``every``
            tokens, and no tree goes beyond the next such place.
        **options: options of the method, see :mod:`dynatree.policies.registry`.

    Returns:
        The new tokens, a closing end-of-sequence token included, their text, and the statistics.

    Raises:
        DynatreeError: an argument is wrong, the text does not fit the positions of a model, or a model returns
            logits that are not finite.
    """
    start = pair.clock()
    policy = find_policy(pair, method, options, draft_cache)
    compression = find_compression(policy, target_cache, draft_cache)
    tokens = encode(pair, prompt)
    check_lengths(pair, policy, tokens, max_new_tokens, compression)
    stop_tokens = find_stop_tokens(pair, eos_token_id)
    sampler = make_sampler(temperature, top_k, top_p, seed, pair.target.config.vocab_size)
    rows = len(tokens) + max_new_tokens
    cache = compression.target and CompressedTreeCache(pair.target, compression.target, rows, policy.node_budget)
    capacity, static = rows + policy.node_budget + 1, pair.static.get("target")
    target = ModelRunner(pair.target, "target", capacity, None, sampler, cache, pair.clock, static)
    request = Request(pair, target, policy, tokens, max_new_tokens, stop_tokens, start, draft_cache=compression.draft)
    request.on_tokens, request.on_round, request.on_candidates = on_tokens, on_round, on_candidates
    if max_new_tokens:
        request.begin(target.forward(tokens, range(len(tokens)), last_only=True))
    while not request.finished:
        request.accept(target.forward(*request.propose()))
    return request.close()
