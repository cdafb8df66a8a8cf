"""The decoding loop: draft, verify, accept, keep, observe."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from dynatree.decoding.arguments import (
    NO_CALLBACKS,
    CacheMethods,
    Callbacks,
    Exactness,
    RequestOptions,
    find_policy,
    request_options,
)
from dynatree.decoding.chat import Messages, chat_prompt, chat_stops
from dynatree.decoding.past import Past
from dynatree.decoding.progress import progress_bar
from dynatree.decoding.prompts import EosTokens, Prompt
from dynatree.decoding.request import Request
from dynatree.decoding.results import Generation
from dynatree.drafting.factory import prepare_costs
from dynatree.errors import DynatreeError
from dynatree.kvcompress.admission import admit_compression
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.tree_cache import CompressedTreeCache
from dynatree.models.exclusive import exclusive
from dynatree.models.independence import check_independence
from dynatree.models.pair import ModelPair
from dynatree.models.runner import ModelRunner
from dynatree.models.sampling import SamplingOptions
from dynatree.models.strict import StrictModel
from dynatree.models.text_rules import CallerRules
from dynatree.policies.base import Policy
from dynatree.tree import TokenTree


def generate(
    pair: ModelPair,
    prompt: Prompt | None = None,
    method: str | Policy = "cost_aware",
    max_new_tokens: int = 128,
    eos_token_id: EosTokens = "auto",
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    on_tokens: Callable[[list[int], int], None] | None = None,
    on_round: Callable[[TokenTree, list[int], int], None] | None = None,
    draft_cache: str | tuple[str, dict[str, Any]] | dict[str, Any] | Method | None = None,
    target_cache: str | tuple[str, dict[str, Any]] | dict[str, Any] | Method | None = None,
    exact: Exactness | None = None,
    logits_processor: Sequence[Any] = (),
    stopping_criteria: Sequence[Any] = (),
    stop_strings: str | Sequence[str] = (),
    messages: Messages | None = None,
    progress: bool = False,
    past: Past | None = None,
    **options: Any,
) -> Generation:
    """Decode one prompt.

    In float32, the greedy output equals ``pair.target.generate(do_sample=False)`` token for token. With a temperature,
    every method draws the tokens that "autoregressive" draws with the same seed. Settings of the target's generation
    config that change the output, such as a repetition penalty, apply as in ``generate``, except ``do_sample``,
    ``temperature``, ``top_k`` and ``top_p``. Beams and other ways of decoding are refused.

    Both models are in evaluation mode during the call. A second thread that decodes with one of them waits until the
    call ends.

    Args:
        pair: target and draft.
        prompt: text; token ids [n] or [1, n] as a list, an array of NumPy or a tensor; or the result of a tokenizer.
        method: "autoregressive", "chain", "fixed_tree", "dynatree" or "cost_aware"; or a policy object, which keeps
            its statistics for the next request. For "cost_aware" the pair keeps them.
        max_new_tokens: tokens to emit unless an end-of-sequence token comes first.
        eos_token_id: "auto" for the target's own, None to never stop early, an id, or several ids.
        temperature: divides the logits before a token is drawn; 0 for greedy decoding.
        top_k: draw from the k most likely tokens only; None for all.
        top_p: draw from the smallest set of most likely tokens that reaches this probability; None for all.
        seed: seed of the draws.
        on_tokens: called when tokens are emitted, with the tokens and the number of drafted ones among them.
        on_round: called after each round with its tree, the indices of the accepted nodes and the target's own next
            token, before the end of the request cuts any of them off.
        draft_cache: compresses the draft's cache without changing the output. A name of
            :data:`dynatree.kvcompress.METHODS`, "name:option=value,option=value", a pair (name, options), a mapping
            of "method" and options, or a method object.
        target_cache: compresses the target's cache. The output is that of "autoregressive" with the same
            ``target_cache``. Entries are evicted each time the text has grown by the method's ``every`` tokens, and
            no tree exceeds the next eviction.
        exact: "strict" for the output of plain decoding in the target's own number format, bit for bit also in bfloat16
            and float16, on a CPU. The first forward passes of each width are checked. None for ordinary forward passes.
        logits_processor: logits processors of transformers, or functions of (ids [1, n], scores [1, vocabulary]) that
            return scores. Each is called once per emitted token, in order, so it may keep a state.
        stopping_criteria: stopping criteria of transformers, called after each emitted token.
        stop_strings: texts that end the output after the token that completes one.
        messages: a conversation instead of a prompt: mappings with "role" and "content" for the chat template of the
            target. With ``eos_token_id="auto"``, the template's own end of a turn also ends the output.
        progress: True shows a progress bar on stderr.
        past: entries of the text of an earlier request, for example of the last turn of a conversation. Only the rest
            of the prompt is read, and the object then holds the entries of this text. Start with ``Past()``.
        **options: options of the method, see :mod:`dynatree.policies.registry`.

    Returns:
        The new tokens, a closing end-of-sequence token included, their text and the statistics.

    Raises:
        DynatreeError: an argument is wrong, the text does not fit the positions of a model, the generation config
            has a setting that is not applied, the tokens of a forward pass of the target depend on each other, a model
            returns logits that are not finite, or ``exact`` cannot hold.
    """
    started = pair.clock()
    caches = CacheMethods.parse(target_cache, draft_cache)
    policy = find_policy(pair, method, options, caches.draft)
    if messages is not None:
        if prompt is not None:
            raise DynatreeError("give a prompt or messages, not both")
        prompt, eos_token_id = chat_prompt(pair.tokenizer, messages), chat_stops(pair, eos_token_id)
    elif prompt is None:
        raise DynatreeError("a request needs a prompt or messages")
    sampling = SamplingOptions(temperature, top_k, top_p, seed)
    rules = CallerRules(logits_processor, stopping_criteria, stop_strings)
    request = request_options(
        pair,
        prompt,
        policy,
        max_new_tokens,
        eos_token_id,
        sampling,
        caches,
        started,
        exact=exact,
        rules=rules,
        past=past,
    )
    if not progress:
        return decode(pair, request, Callbacks(on_tokens, on_round))
    with progress_bar(on_tokens, request.max_new_tokens) as advance:
        return decode(pair, request, Callbacks(advance, on_round))


@torch.inference_mode()
def decode(pair: ModelPair, options: RequestOptions, callbacks: Callbacks = NO_CALLBACKS) -> Generation:
    """Decode one request whose arguments are checked; see :func:`generate`.

    Args:
        pair: target and draft.
        options: the request.
        callbacks: functions to call.
    """
    with exclusive(pair.models.values()):
        if options.policy.max_children:
            check_independence(pair.target)
        prepare_costs(pair if options.drafts else pair.without_draft(), options.policy)
        target = target_runner(pair, options)
        request = Request(pair, target, options, callbacks)
        if options.max_new_tokens:
            known, length = target.length, len(options.prompt)
            request.begin(target.forward(options.prompt[known:], range(known, length), last_only=True))
        while not request.finished:
            request.accept(target.forward(*request.propose()))
        return request.close()


def target_runner(pair: ModelPair, options: RequestOptions) -> ModelRunner:
    """Return the target with the cache of a request.

    Args:
        pair: target and draft.
        options: the request.
    """
    method, total, nodes = options.caches.target, options.total_tokens, options.policy.node_budget
    if method:
        admit_compression(pair.target, "target")
    cache = method and CompressedTreeCache(pair.target, method, total, nodes)
    capacity, static = total + nodes + 1, pair.static.get("target")
    strict = StrictModel(pair.target, nodes + 1) if options.strict else None
    return ModelRunner(pair.target, "target", capacity, None, options.sampler, cache, pair.clock, static, strict)
