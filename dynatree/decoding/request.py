"""One request, round by round."""

from collections.abc import Callable
from functools import partial

import torch

from dynatree.decoding.results import Generation, Round, Stats
from dynatree.drafting.factory import make_drafter
from dynatree.tree import TokenTree


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
            left = min(self.max_new_tokens - len(self.emitted), self.target.cache.capacity_left)
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
