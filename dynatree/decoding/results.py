"""What a request returns: tokens, text and statistics."""

from dataclasses import dataclass, field


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
