"""The decoding loop: draft, verify, accept, keep, observe."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import torch

from dynatree.decoding.arguments import check_lengths, encode, find_compression, find_policy, find_stop_tokens
from dynatree.drafting.factory import make_drafter
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.tree_cache import CompressedTreeCache
from dynatree.models.pair import ModelPair
from dynatree.models.runner import ModelRunner
from dynatree.models.sampling import make_sampler
from dynatree.policies.registry import Policy
from dynatree.tree import TokenTree


@dataclass
class Round:
    """One round.

    Attributes:
        nodes: below the root of the tree.
        depth: of the tree.
        accepted: drafted tokens that were emitted.
        emitted: all tokens.
        draft_passes: forward passes of the draft.
    """

    nodes: int
    depth: int
    accepted: int
    emitted: int
    draft_passes: int


@dataclass
class Stats:
    """What a request cost.

    Attributes:
        passes: of the "target" and the "draft", prefills included: the new tokens of each forward pass, and the rows
            that the cache held before it.
        trace: one entry per round.
        seconds: ``total``, ``ttft`` (until the first token is emitted, both prefills included), and what ``total``
            consists of: ``prefill`` (forward passes of both models over the prompt; a draft that reads it later, as
            with "cost_aware", does so in ``draft``), ``draft`` and ``verify``
            (forward passes of the rounds, up to the ids on the host), and ``other``, the rest. Where ids of the draft
            are not read before verification, its passes on a GPU are finished, and their time counted, in ``verify``.
        caches: of the "target" and the "draft", the most "rows" and "bytes" that the cache held.
    """

    passes: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {"target": [], "draft": []})
    trace: list[Round] = field(default_factory=list)
    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("total", "ttft", "prefill", "draft", "verify", "other"), 0.0)
    )
    caches: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """Target forwards after prefill."""
        return len(self.trace)

    @property
    def draft_forwards(self) -> int:
        """Forward passes of the draft, its prefill included."""
        return len(self.passes["draft"])

    @property
    def drafted(self) -> int:
        """Nodes of the drafted trees, all of which are verified."""
        return self.verified

    @property
    def verified(self) -> int:
        """Nodes below the root that the target verified."""
        return sum(entry.nodes for entry in self.trace)

    @property
    def accepted(self) -> int:
        """Drafted tokens that were emitted."""
        return sum(entry.accepted for entry in self.trace)

    @property
    def drafted_depth(self) -> int:
        """Depth of the drafted tree, summed over rounds."""
        return sum(entry.depth for entry in self.trace)


@dataclass
class Generation:
    """The new ``tokens`` of a request, their ``text`` (None without a tokenizer) and its ``stats``."""

    tokens: list[int]
    text: str | None
    stats: Stats


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


class Request:
    """State of one request. Between rounds the target's cache holds all emitted tokens but the last one.

    The passes of the target are made by who drives the request: :meth:`begin` takes the logits at the end of the
    prompt; from then on, until it is ``finished``, :meth:`accept` takes those of what :meth:`propose` returns.

    Args:
        pair: target and draft.
        target: the target with its cache.
        policy: decides the trees.
        prompt: token ids.
        max_new_tokens: tokens to emit unless an end-of-sequence token comes first.
        stop_tokens: end-of-sequence ids.
        start: when the request came, by the clock of the pair.
        batch: requests that are decoded together.
        draft_cache: method that compresses the draft's cache; None for none.

    Attributes:
        generation: what :meth:`close` returned; None before.
    """

    def __init__(self, pair, target, policy, prompt, max_new_tokens, stop_tokens, start, batch=1, draft_cache=None):
        self.tokenizer = pair.tokenizer
        self.policy = policy
        self.clock = pair.clock
        self.prompt = prompt
        self.max_new_tokens = max_new_tokens
        self.stop_tokens = stop_tokens
        self.on_tokens: Callable | None = None
        self.on_round: Callable | None = None
        self.on_candidates: Callable | None = None
        self.start = start
        self.stats = Stats()
        self.emitted: list[int] = []
        self.generation: Generation | None = None
        self.target = target
        self.stats.passes["target"] = target.passes
        self.drafter = None
        if max_new_tokens > 1:
            rows = len(prompt) + max_new_tokens
            self.drafter = make_drafter(pair, policy, rows, target, batch, draft_cache)
        if self.drafter:
            self.stats.passes["draft"] = self.drafter.passes

    @property
    def finished(self) -> bool:
        """Whether nothing is left to emit."""
        return len(self.emitted) >= self.max_new_tokens or bool(self.emitted and self.emitted[-1] in self.stop_tokens)

    def begin(self, logits: torch.Tensor) -> None:
        """Emit the first token from the logits [1, vocabulary] at the end of the prompt."""
        first = self.target.predict(self.target.perturb(logits, [len(self.prompt) - 1]))[0]
        self.target.cache.keep(len(self.prompt), [])
        self.stats.seconds["prefill"] = self.target.take_seconds()
        if self.drafter:
            self.drafter.prefill(self.prompt)
            self.stats.seconds["prefill"] += self.drafter.take_seconds()
        self._emit([first], accepted=0)
        self.stats.seconds["ttft"] = self.clock() - self.start

    def share(self, batch: int) -> None:
        """From now on ``batch`` requests are decoded together."""
        if self.drafter:
            self.drafter.batch = batch

    def propose(self) -> tuple[list[int] | torch.Tensor, list[int], torch.Tensor | None]:
        """Draft a tree; the arguments of :meth:`ModelRunner.forward` that verify it."""
        self.tree = TokenTree(self.emitted[-1], self.policy.node_budget)
        tokens = self.tree.tokens
        self.drafted_before = len(self.stats.passes["draft"])
        if self.drafter:
            left = min(self.max_new_tokens - len(self.emitted), self.target.cache.room)
            tokens = self.drafter.draft(self.tree, self.policy, left - 1, self.stop_tokens)
            if self.on_candidates:
                self.on_candidates(self.drafter.candidates(self.tree))
        self.root_row = self.target.length
        self.positions = [self.root_row + depth for depth in self.tree.depths]
        self.before = self.target.seconds
        return tokens, self.positions, self.tree.ancestors if len(self.tree) > 1 else None

    def accept(self, logits: torch.Tensor) -> None:
        """Close the round with the logits [nodes, vocabulary] of its tree."""
        tree = self.tree
        unread = self.drafter.unread if self.drafter else ()
        predictions, drafted = self.target.predict_and_read(self.target.perturb(logits, self.positions), unread)
        verify_seconds = self.target.seconds - self.before
        if unread:
            self.drafter.read(tree, drafted)
        path = tree.accepted_path(predictions)
        if self.drafter:
            self.drafter.learn(tree, path, predictions, partial(self.target.rank, logits))
        self.target.cache.keep(self.root_row + 1, [self.root_row + node for node in path])
        if self.drafter:
            self.drafter.keep(tree, path)
        bonus = predictions[path[-1] if path else 0]
        if self.on_round:
            self.on_round(tree, path, bonus)
        emitted = self._emit([tree.tokens[node] for node in path] + [bonus], accepted=len(path))
        accepted = min(len(path), emitted)
        draft_passes = len(self.stats.passes["draft"]) - self.drafted_before
        self.stats.trace.append(Round(len(tree) - 1, tree.depth, accepted, emitted, draft_passes))
        self.policy.observe(tree.depth, accepted)
        if self.drafter:
            self.drafter.close_round(emitted, verify_seconds)

    def close(self) -> Generation:
        """What was emitted, and what it cost."""
        self.policy.finish(len(self.emitted), self.stats.rounds)
        self._close_accounts()
        self.stats.caches["target"] = self.target.cache_use()
        if self.drafter and self.drafter.model:
            self.stats.caches["draft"] = self.drafter.model.cache_use()
        text = None if self.tokenizer is None else self.tokenizer.decode(self.emitted, skip_special_tokens=True)
        self.generation = Generation(self.emitted, text, self.stats)
        return self.generation

    def _emit(self, tokens: list[int], accepted: int) -> int:
        """Emit ``tokens`` up to the first end-of-sequence id or the limit; returns how many were."""
        tokens = tokens[: self.max_new_tokens - len(self.emitted)]
        stops = [i for i, token in enumerate(tokens) if token in self.stop_tokens]
        if stops:
            tokens = tokens[: stops[0] + 1]
        self.emitted += tokens
        if self.on_tokens:
            self.on_tokens(tokens, min(accepted, len(tokens)))
        return len(tokens)

    def _close_accounts(self) -> None:
        seconds = self.stats.seconds
        seconds["total"] = self.clock() - self.start
        seconds["verify"] = self.target.take_seconds()
        if self.drafter:
            seconds["draft"] = self.drafter.take_seconds()
        seconds["other"] = seconds["total"] - seconds["prefill"] - seconds["draft"] - seconds["verify"]
