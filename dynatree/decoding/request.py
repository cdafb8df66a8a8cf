"""One request, round by round."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from dynatree.decoding.arguments import NO_CALLBACKS, Callbacks, RequestOptions
from dynatree.decoding.results import Generation, Round, Stats
from dynatree.decoding.ruled_text import NO_TOKEN, RuledText
from dynatree.drafting.base import Drafting, Ranked, RoundContext, RoundOutcome, Verification, run_alone
from dynatree.drafting.factory import make_drafter
from dynatree.drafting.pool import Pool
from dynatree.models.pair import ModelPair
from dynatree.models.positions import reading_again_length, uniform_depth
from dynatree.models.runner import ModelRunner
from dynatree.tree import TokenTree

Inputs = tuple[Sequence[int] | torch.Tensor, Sequence[int], torch.Tensor | None]
"""Tokens, positions and visible entries of a forward pass, see :meth:`dynatree.models.runner.ModelRunner.forward`."""


@dataclass(frozen=True)
class _OpenRound:
    """A round between its draft and its verification."""

    tree: TokenTree
    positions: list[int]  # of the nodes, in the text
    started: float
    draft_passes: int  # of the request, before the round
    candidates: Pool | None
    forced: bool  # True if the tree is a chain of tokens that the logits processors force


class Request:
    """The state of one request.

    The caller runs the target. Call :meth:`begin` with the logits at the end of the prompt. Then alternate
    :meth:`propose` (inputs of the next forward pass) and :meth:`accept` (its logits) until ``finished``, and
    :meth:`close` the request. Between rounds the target's cache holds all emitted tokens except the last one.

    Args:
        pair: target and draft.
        target: the target with the cache of the request.
        options: the arguments of the request.
        callbacks: functions to call.
        draft: the draft with the request's part of the cache of a batch; None for a cache of its own.

    Attributes:
        generation: the result of :meth:`close`; None before.
    """

    def __init__(
        self,
        pair: ModelPair,
        target: ModelRunner,
        options: RequestOptions,
        callbacks: Callbacks = NO_CALLBACKS,
        draft: ModelRunner | None = None,
    ):
        self.generation: Generation | None = None
        self._options = options
        self._policy = options.policy
        self._callbacks = callbacks
        self._clock = pair.clock
        self._tokenizer = pair.tokenizer
        self._target = target
        self._rotary = pair.target.config
        self._border = reading_again_length(pair.target)
        self._drafter = None
        if options.max_new_tokens > 1:
            total, stops, method = options.total_tokens, options.stop_tokens, options.caches.draft
            fitting = pair if options.drafts else pair.without_draft()
            self._drafter = make_drafter(fitting, options.policy, total, stops, options.sampler, method, draft)
        target.keeps_states = self._drafter is not None and self._drafter.reads_states
        if options.past:
            for runner in self._runners():
                options.past.fill(runner, options.prompt)
        rules, stops = options.rules, options.stop_tokens
        self._ruled = rules and RuledText(rules, target, stops, options.max_new_tokens)
        self._batch = 1
        self._emitted: list[int] = []
        self._stats = Stats()
        self._round: _OpenRound | None = None

    @property
    def finished(self) -> bool:
        """True if nothing is left to emit."""
        if self._ruled:
            return self._ruled.finished
        emitted = self._emitted
        stopped = bool(emitted and emitted[-1] in self._options.stop_tokens)
        return stopped or len(emitted) >= self._options.max_new_tokens

    def begin(self, logits: torch.Tensor) -> None:
        """Emit the first token.

        Args:
            logits: [1, vocabulary] at the end of the prompt.
        """
        prompt, target, seconds = self._options.prompt, self._target, self._stats.seconds
        last = len(prompt) - 1
        first = (
            self._ruled.draw(logits, last)
            if self._ruled
            else target.predict(target.add_gumbel_noise(logits, [last]))[0]
        )
        target.cache.keep(len(prompt), [])
        seconds["prefill"] = target.stopwatch.pop_elapsed()
        if self._drafter:
            self._drafter.prefill(prompt, target.states)
            seconds["prefill"] += self._drafter.pop_elapsed()
        self._emit([first], accepted=0)
        seconds["ttft"] = self._clock() - self._options.started
        self._read_again_at_border()

    def share(self, batch: int) -> None:
        """Set the number of requests that are decoded together from the next round on."""
        self._batch = batch

    def propose(self) -> Inputs:
        """Draft a tree; return the arguments of :meth:`ModelRunner.forward` that verify it."""
        return run_alone(self.proposing(), self._drafter.runner if self._drafter else None)

    def proposing(self) -> Drafting[Inputs]:
        """Draft a tree as :meth:`propose` does, by forward passes that the caller runs."""
        started = self._clock()
        tree = TokenTree(self._emitted[-1], self._policy.node_budget)
        tokens, drafter = tree.tokens, self._drafter
        draft_passes = self._draft_passes()
        forced = self._forced(tree) if self._ruled else []
        if drafter:
            tokens = yield from drafter.drafting(
                tree, replace(self._context(), max_depth=0) if forced else self._context()
            )
        if forced:
            for depth, token in enumerate(forced):
                tree.add_level([depth], [token], [0.0])
            tokens = tree.tokens
        root = self._target.length
        positions = [root + depth for depth in tree.depths]
        kept = drafter.pool if drafter and self._options.keep_candidates else None
        self._round = _OpenRound(tree, positions, started, draft_passes, kept, bool(forced))
        return tokens, positions, self._target.ancestors(tree)

    def accept(self, logits: torch.Tensor) -> None:
        """Verify the proposed tree and emit the accepted tokens.

        Args:
            logits: [nodes, vocabulary] of the target.
        """
        if self._round is None:
            raise RuntimeError("accept() verifies a tree; call propose() before")
        opened, target, drafter = self._round, self._target, self._drafter
        tree, root = opened.tree, opened.positions[0]
        verification, verify_seconds = self._verify(opened, logits)
        path = tree.accepted_path(verification.predictions)
        drafted = [] if opened.forced else path
        if drafter:
            drafter.observe(tree, drafted, verification)
        target.cache.keep(root + 1, [root + node for node in path])
        if drafter:
            drafter.keep(tree, drafted)
        if drafter and opened.forced:
            drafter.read_forced([tree.tokens[node] for node in path])
        bonus = verification.predictions[path[-1] if path else 0]
        if self._callbacks.on_round:
            self._callbacks.on_round(tree, path, bonus)
        tokens = [tree.tokens[node] for node in path] + ([] if bonus == NO_TOKEN else [bonus])
        emitted = self._emit(tokens, accepted=len(path))
        self._close_round(opened, min(len(path), emitted), emitted, verify_seconds)
        self._read_again_at_border()

    def _read_again_at_border(self) -> None:
        """Read the text again, with its newest token, where ``generate`` does so because frequencies change."""
        target, text = self._target, [*self._options.prompt, *self._emitted]
        if self.finished or target.length != self._border:
            return
        self.propose()  # the root alone, because no tree crosses the border
        target.cache.keep(0, [])
        self.accept(target.forward(text, range(len(text)), last_only=True))

    def close(self) -> Generation:
        """Return the emitted tokens and their cost."""
        stats, drafter, seconds = self._stats, self._drafter, self._stats.seconds
        self._policy.finish(len(self._emitted), stats.rounds)
        seconds["total"] = self._clock() - self._options.started
        seconds["verify"] += self._target.stopwatch.pop_elapsed()
        if drafter:
            drafter.close(self._emitted)
            seconds["draft"] = drafter.pop_elapsed()
        seconds["other"] = seconds["total"] - seconds["prefill"] - seconds["draft"] - seconds["verify"]
        stats.passes["target"] = list(self._target.passes)
        stats.caches["target"] = self._target.cache_use()
        if drafter:
            stats.passes["draft"] = list(drafter.passes)
        if drafter and drafter.runner:
            stats.caches["draft"] = drafter.runner.cache_use()
        if self._options.past:
            self._options.past.keep(self._runners(), [*self._options.prompt, *self._emitted])
        decoder = self._tokenizer
        text = None if decoder is None else decoder.decode(self._emitted, skip_special_tokens=True)
        self.generation = Generation(self._emitted, text, stats, self._ruled and self._ruled.kept)
        return self.generation

    def _runners(self) -> list[ModelRunner]:
        """Return the target and, if there is one, the draft."""
        draft = self._drafter.runner if self._drafter else None
        return [self._target, *([draft] if draft else [])]

    def _verify(self, opened: _OpenRound, logits: torch.Tensor) -> tuple[Verification, float]:
        """Return the target's results after each node, and the seconds of its forward pass."""
        target, drafter, clock = self._target, self._drafter, self._clock
        if self._ruled:
            return self._verify_ruled(self._ruled, opened, logits)
        scores = target.add_gumbel_noise(logits, opened.positions)
        if drafter is None:
            predictions, _ = target.predict_and_materialize(scores, ())
            return Verification(predictions, ([], []), 0.0), target.stopwatch.pop_elapsed()
        started = clock()
        ranked = target.top_successors(logits, drafter.recycled) if drafter.recycled else ()
        rank_seconds = clock() - started
        predictions, values = target.predict_and_materialize(scores, (*ranked, *drafter.device_tokens))
        verify_seconds = target.stopwatch.pop_elapsed()
        if drafter.device_tokens:
            drafter.materialize(opened.tree, values[len(ranked) :])
        return self._verification(opened, predictions, values, bool(ranked), rank_seconds), verify_seconds

    def _verify_ruled(self, ruled: RuledText, opened: _OpenRound, logits: torch.Tensor) -> tuple[Verification, float]:
        """Return what :meth:`_verify` does, under logits processors and stopping criteria."""
        target, drafter, clock = self._target, self._drafter, self._clock
        ranked, rank_seconds, device_tokens = (), 0.0, ()
        if drafter:
            started, device_tokens = clock(), drafter.device_tokens
            ranked = target.top_successors(logits, drafter.recycled) if drafter.recycled else ()
            rank_seconds = clock() - started
        values = target.materialize((*ranked, *device_tokens))
        if drafter and device_tokens:
            drafter.materialize(opened.tree, values[len(ranked) :])
        predictions = ruled.walk(opened.tree, opened.positions, logits)
        verification = self._verification(opened, predictions, values, bool(ranked), rank_seconds)
        return verification, target.stopwatch.pop_elapsed()

    def _verification(
        self, opened: _OpenRound, predictions: list[int], values: list[Any], ranked: bool, rank_seconds: float
    ) -> Verification:
        """Return results of the target; ``values`` are tensors that reached the host, first those of ranking."""
        successors: Ranked = ([[int(token) for token in row] for row in values[0]], values[1]) if ranked else ([], [])
        states = self._target.states
        return Verification(
            predictions, successors, rank_seconds, None if states is None else states[-len(opened.tree) :]
        )

    def _forced(self, tree: TokenTree) -> list[int]:
        """Return the tokens that the logits processors force after the root, as many as a tree may be deep."""
        return self._ruled.forced(min(tree.capacity_left, self._context().max_depth)) if self._ruled else []

    def _context(self) -> RoundContext:
        cache = self._target.cache
        tokens_left = min(self._options.max_new_tokens - len(self._emitted), cache.capacity_left)
        uniform = 0 if self._target.length == self._border else uniform_depth(self._rotary, self._target.length)
        max_depth = tokens_left - 1 if uniform is None else min(tokens_left - 1, uniform)
        return RoundContext(max_depth, cache.entries, self._batch)

    def _draft_passes(self) -> int:
        return len(self._drafter.passes) if self._drafter else 0

    def _emit(self, tokens: list[int], accepted: int) -> int:
        """Emit ``tokens`` up to the first end-of-sequence id or the limit; return the number emitted."""
        tokens = tokens[: self._options.max_new_tokens - len(self._emitted)]
        stops = [index for index, token in enumerate(tokens) if token in self._options.stop_tokens]
        if stops:
            tokens = tokens[: stops[0] + 1]
        self._emitted += tokens
        if self._callbacks.on_tokens:
            self._callbacks.on_tokens(tokens, min(accepted, len(tokens)))
        return len(tokens)

    def _close_round(self, opened: _OpenRound, accepted: int, emitted: int, verify_seconds: float) -> None:
        """Record the round in the statistics, the policy and the drafter."""
        tree = opened.tree
        draft_passes = self._draft_passes() - opened.draft_passes
        start = len(self._emitted) - emitted
        self._stats.rounds_log.append(
            Round(len(tree) - 1, tree.depth, accepted, emitted, draft_passes, start, opened.candidates)
        )
        self._stats.seconds["verify"] += verify_seconds
        if not opened.forced:
            self._policy.observe(tree.depth, accepted)
        if self._drafter:
            new, entries = self._target.passes[-1]
            round_seconds = self._clock() - opened.started
            self._drafter.close_round(RoundOutcome(emitted, new, entries, verify_seconds, round_seconds))
