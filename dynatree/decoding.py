"""The decoding loop: draft, verify, accept, keep, observe."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import torch

from dynatree.drafting import make_drafter
from dynatree.errors import DynatreeError
from dynatree.models import CachedModel, ModelPair
from dynatree.policies import Policy, make_policy
from dynatree.sampling import make_sampler
from dynatree.tree import TokenTree


@dataclass
class Round:
    """One round: ``nodes`` below the root, ``depth`` of the tree, drafted tokens ``accepted``, all ``emitted``."""

    nodes: int
    depth: int
    accepted: int
    emitted: int


@dataclass
class Stats:
    """What a request cost.

    Attributes:
        passes: of the "target" and the "draft", prefills included: the new tokens of each forward pass, and the rows
            that the cache held before it.
        trace: one entry per round.
        seconds: ``total``, ``ttft`` (until the first token is emitted, both prefills included), and what ``total``
            consists of: ``prefill`` (forward passes of both models over the prompt), ``draft`` and ``verify``
            (forward passes of the rounds, up to the ids on the host), and ``other``, the rest.
    """

    passes: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {"target": [], "draft": []})
    trace: list[Round] = field(default_factory=list)
    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("total", "ttft", "prefill", "draft", "verify", "other"), 0.0)
    )

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
        """Nodes the draft proposed."""
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
    **options,
) -> Generation:
    """Decode; in float32 greedily token for token what ``pair.target.generate(do_sample=False)`` returns.

    With a temperature, every method draws what "autoregressive" draws with the same seed.

    Args:
        pair: target and draft.
        prompt: text, token ids, or a tensor of ids [n] or [1, n].
        method: "autoregressive", "linear", "fixed_tree", "dynatree" or "throughput"; or a policy object, which keeps
            what it learnt for the next request. The pair keeps it for "throughput".
        max_new_tokens: tokens to emit unless an end-of-sequence token comes first.
        eos_token_id: "auto" for the target's own, None to never stop early, an id, or several.
        temperature: 0 for greedy decoding; else logits are divided by it and tokens drawn.
        top_k: draw from the k most likely tokens only; None for all.
        top_p: draw from the most likely tokens that together just reach this probability; None for all.
        seed: of the draws.
        on_tokens: called with each round's tokens and the number of those that were drafted, as they are emitted.
        on_round: called with each round's tree, the indices of its accepted nodes and the target's own next token,
            before any of them is cut off by the end of the request.
        **options: options of the method, see :mod:`dynatree.policies`.

    Returns:
        The new tokens, a closing end-of-sequence token included, their text, and the statistics.

    Raises:
        DynatreeError: an argument is wrong, the text does not fit the positions of a model, or a model returns
            logits that are not finite.
    """
    start = pair.clock()
    policy = _policy(pair, method, options)
    tokens = _encode(pair, prompt)
    _check_lengths(pair, policy, tokens, max_new_tokens)
    stop_tokens = _stop_tokens(pair, eos_token_id)
    sampler = make_sampler(temperature, top_k, top_p, seed, pair.target.config.vocab_size)
    request = _Request(pair, policy, tokens, max_new_tokens, stop_tokens, sampler, on_tokens, on_round, start)
    emitted = request.run()
    text = None if pair.tokenizer is None else pair.tokenizer.decode(emitted, skip_special_tokens=True)
    return Generation(emitted, text, request.stats)


class _Request:
    """State of one request. Between rounds the target's cache holds all emitted tokens but the last one."""

    def __init__(self, pair, policy, prompt, max_new_tokens, stop_tokens, sampler, on_tokens, on_round, start):
        capacity = len(prompt) + max_new_tokens + policy.node_budget + 1
        self.policy = policy
        self.clock = pair.clock
        self.prompt = prompt
        self.max_new_tokens = max_new_tokens
        self.stop_tokens = stop_tokens
        self.on_tokens = on_tokens
        self.on_round = on_round
        self.start = start
        self.stats = Stats()
        self.emitted: list[int] = []
        self.target = CachedModel(pair.target, "target", capacity, sampler=sampler, clock=pair.clock)
        self.stats.passes["target"] = self.target.passes
        self.drafter = None
        if max_new_tokens > 1:
            self.drafter = make_drafter(pair, policy, len(prompt) + max_new_tokens, sampler)
        if self.drafter:
            self.stats.passes["draft"] = self.drafter.passes

    def run(self) -> list[int]:
        if self.max_new_tokens > 0:
            self._emit([self._prefill()], accepted=0)
            self.stats.seconds["ttft"] = self.clock() - self.start
        while not self._finished():
            self._round()
        self.policy.finish(len(self.emitted), self.stats.rounds)
        self._close_accounts()
        return self.emitted

    def _prefill(self) -> int:
        logits = self.target.forward(self.prompt, range(len(self.prompt)), last_only=True)
        first = self.target.predict(self.target.perturb(logits, [len(self.prompt) - 1]))[0]
        self.stats.seconds["prefill"] = self.target.take_seconds()
        if self.drafter:
            self.drafter.prefill(self.prompt)
            self.stats.seconds["prefill"] += self.drafter.take_seconds()
        return first

    def _finished(self) -> bool:
        return len(self.emitted) >= self.max_new_tokens or bool(self.emitted and self.emitted[-1] in self.stop_tokens)

    def _round(self) -> None:
        tree = TokenTree(self.emitted[-1], self.policy.node_budget)
        if self.drafter:
            left = self.max_new_tokens - len(self.emitted)
            self.drafter.draft(tree, self.policy, left - 1, self.stop_tokens)
        root_row = self.target.length
        positions = [root_row + depth for depth in tree.depths]
        visible = tree.ancestors if len(tree) > 1 else None
        before = self.target.seconds
        logits = self.target.forward(tree.tokens, positions, visible)
        predictions = self.target.predict(self.target.perturb(logits, positions))
        verify_seconds = self.target.seconds - before
        path = tree.accepted_path(predictions)
        if self.drafter:
            self.drafter.learn(tree, path, predictions, partial(self.target.rank, logits))
        self.target.cache.keep(root_row + 1, [root_row + node for node in path])
        if self.drafter:
            self.drafter.keep(tree, path)
        bonus = predictions[path[-1] if path else 0]
        if self.on_round:
            self.on_round(tree, path, bonus)
        emitted = self._emit([tree.tokens[node] for node in path] + [bonus], accepted=len(path))
        accepted = min(len(path), emitted)
        self.stats.trace.append(Round(len(tree) - 1, tree.depth, accepted, emitted))
        self.policy.observe(tree.depth, accepted)
        if self.drafter:
            self.drafter.close_round(len(tree) - 1, emitted, verify_seconds)

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


def _policy(pair: ModelPair, method: str | Policy, options: dict) -> Policy:
    if isinstance(method, str):
        policy = make_policy(method, **options)
        return pair.learnt.setdefault(repr(policy), policy) if policy.lasting else policy
    if options:
        raise DynatreeError(f"options ({', '.join(options)}) go into the policy object, not beside it")
    return method


def _encode(pair: ModelPair, prompt) -> list[int]:
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


def _check_lengths(pair: ModelPair, policy: Policy, prompt: list[int], max_new_tokens: int) -> None:
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


def _stop_tokens(pair: ModelPair, eos_token_id) -> frozenset[int]:
    if eos_token_id == "auto":
        eos_token_id = pair.target.generation_config.eos_token_id
    if eos_token_id is None:
        return frozenset()
    if isinstance(eos_token_id, str):
        raise DynatreeError(f"eos_token_id must be 'auto', None, an id or several ids, not {eos_token_id!r}")
    ids = [eos_token_id] if isinstance(eos_token_id, int) else eos_token_id
    return frozenset(int(token) for token in ids)
