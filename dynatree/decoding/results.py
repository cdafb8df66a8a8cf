"""The result of a request: tokens, text and statistics."""

from dataclasses import dataclass, field

import torch

from dynatree.drafting.pool import Pool


@dataclass
class Round:
    """One round.

    Attributes:
        nodes: nodes of the tree below its root.
        depth: depth of the tree.
        accepted: drafted tokens that were emitted.
        emitted: emitted tokens.
        draft_passes: forward passes of the draft.
        start: index of the first emitted token among all new tokens.
        candidates: the pool that the tree was selected from, if the request keeps it.
    """

    nodes: int
    depth: int
    accepted: int
    emitted: int
    draft_passes: int
    start: int
    candidates: Pool | None = field(default=None, repr=False, compare=False)

    def counts(self) -> dict[str, int]:
        """Return the counts of the round as a JSON value."""
        return {name: getattr(self, name) for name in ("nodes", "depth", "accepted", "emitted", "draft_passes")}


def _no_passes() -> dict[str, list[tuple[int, int]]]:
    return {"target": [], "draft": []}


def _no_seconds() -> dict[str, float]:
    return dict.fromkeys(("total", "ttft", "prefill", "draft", "verify", "other"), 0.0)


@dataclass
class Stats:
    """The cost of a request.

    Attributes:
        passes: for "target" and "draft", the new tokens of each forward pass and the cache entries before it, prefills
            included.
        rounds_log: one entry per round.
        seconds: "total", "ttft" (until the first token is emitted, both prefills included), and the parts of "total".
            "prefill" are the forward passes of both models over the prompt. "draft" and "verify" are the forward passes
            of the rounds, up to the token ids on the host. "other" is the rest, ranked successors of the target
            included. A draft that reads the prompt in the first round, as with "cost_aware", does so in "draft". If
            drafted ids stay on a GPU until the verification, the GPU finishes the draft's forward passes in "verify",
            which includes their time.
        caches: for "target" and "draft", the largest "rows" (entries) and "bytes" of the cache.
    """

    passes: dict[str, list[tuple[int, int]]] = field(default_factory=_no_passes)
    rounds_log: list[Round] = field(default_factory=list[Round])
    seconds: dict[str, float] = field(default_factory=_no_seconds)
    caches: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])

    def __str__(self) -> str:
        """Return a summary in a few lines."""
        seconds, rounds = self.seconds, self.rounds
        tokens = self.emitted
        lines = [f"{tokens} tokens in {seconds['total']:.2f} s ({tokens / max(seconds['total'], 1e-9):.1f} per second)"]
        if rounds:
            lines.append(f"{rounds} rounds of {sum(one.emitted for one in self.rounds_log) / rounds:.2f} tokens")
        if self.verified:
            lines.append(f"{self.accepted} of {self.verified} drafted nodes accepted")
        parts = ", ".join(f"{name} {seconds[name]:.2f}" for name in ("prefill", "draft", "verify", "other"))
        return "\n".join([*lines, f"seconds: {parts}"])

    @property
    def emitted(self) -> int:
        """Emitted tokens; the first one comes with the prompt."""
        return bool(self.seconds["ttft"]) + sum(entry.emitted for entry in self.rounds_log)

    @property
    def rounds(self) -> int:
        """Forward passes of the target after prefill."""
        return len(self.rounds_log)

    @property
    def draft_forwards(self) -> int:
        """Forward passes of the draft, its prefill included."""
        return len(self.passes["draft"])

    @property
    def drafted(self) -> int:
        """Nodes of the drafted trees. All of them are verified, so this equals :attr:`verified`."""
        return self.verified

    @property
    def verified(self) -> int:
        """Nodes below the root that the target verified."""
        return sum(entry.nodes for entry in self.rounds_log)

    @property
    def accepted(self) -> int:
        """Drafted tokens that were emitted."""
        return sum(entry.accepted for entry in self.rounds_log)

    @property
    def drafted_depth(self) -> int:
        """Depth of the drafted tree, summed over rounds."""
        return sum(entry.depth for entry in self.rounds_log)


@dataclass
class KeptScores:
    """The rows of each emitted token, as ``return_dict_in_generate`` returns them.

    Attributes:
        scores: [1, vocabulary] in float32, after the logits processors.
        logits: [1, vocabulary] in float32, before them.
    """

    scores: list[torch.Tensor] = field(default_factory=list[torch.Tensor])
    logits: list[torch.Tensor] = field(default_factory=list[torch.Tensor])


@dataclass
class Generation:
    """The output of a request.

    Attributes:
        tokens: the new tokens, a closing end-of-sequence token included.
        text: the decoded tokens; None without a tokenizer.
        stats: the cost of the request.
        kept: scores and logits of each token, if the request keeps them.
    """

    tokens: list[int]
    text: str | None
    stats: Stats
    kept: KeptScores | None = field(default=None, repr=False, compare=False)
