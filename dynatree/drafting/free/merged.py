"""All free sources of the cost-aware policy in one tree, as a free drafter."""

from collections.abc import Sequence
from dataclasses import replace

from dynatree.drafting.base import RoundContext, RoundOutcome, Verification, run_alone
from dynatree.drafting.free.base import Row
from dynatree.drafting.hybrid import HybridDrafter
from dynatree.drafting.memory import Memory
from dynatree.latency.cost_model import CostModel
from dynatree.models.ngram_table import NGramTable
from dynatree.policies.cost_aware import CostAware
from dynatree.tree import TokenTree

FREE_SOURCES = ("ngram", "recycling", "table")
MAX_DEPTH = 64
CANDIDATES = 4  # as in decoding


def flat_costs() -> CostModel:
    """Return a cost model in which a forward pass takes one second, so every tree fills its budget."""
    return CostModel((1,), (0,), [[1.0]])


class Merged:
    """The trees of :class:`dynatree.drafting.hybrid.HybridDrafter` without a draft model and without host time.

    The policy with its calibration survives requests, and so do the loss budget, the recent throughput, and the memory
    of past outputs if there is one.

    Args:
        nodes: maximum number of nodes below the root.
        costs: decides how many nodes pay; None if all do.
        chains: True for trees of one path.
        sources: sources of the policy.
        candidates: maximum number of successors that a source proposes for a node.
        memory: limit of the memory, see :class:`dynatree.drafting.memory.Memory`; 0 for none.
        table: n-gram table of the target; None without one.
    """

    def __init__(
        self,
        nodes: int,
        costs: CostModel | None = None,
        chains: bool = False,
        sources: Sequence[str] = FREE_SOURCES,
        candidates: int = CANDIDATES,
        memory: int = 0,
        table: NGramTable | None = None,
    ):
        depth = nodes if chains else min(nodes, MAX_DEPTH)
        self.policy = CostAware(
            node_budget=nodes, max_depth=depth, sources=tuple(sources), candidates=candidates, memory=memory
        )
        self.memory = Memory(memory) if memory else None
        self.table = table
        self.costs = replace(costs) if costs else flat_costs()
        self._chains = chains
        self._tree: TokenTree | None = None
        self._drafter = self._new_drafter()
        self._text: list[int] = []
        self._output: list[int] = []

    def _new_drafter(self) -> HybridDrafter:
        shared = self._chains, self.memory, self.table
        return HybridDrafter(self.policy, self.costs, None, frozenset(), lambda: 0.0, *shared)

    def begin_request(self) -> None:
        self._drafter.close(self._output)
        self._drafter = self._new_drafter()
        self._text, self._output = [], []
        self._tree = None

    def observe(self, tokens: Sequence[int], rows: Sequence[Row] | None = None) -> None:
        if self._tree is not None and rows is not None:
            self._close_round(self._tree, tokens, rows)
        self._text += tokens
        self._output += tokens if rows is not None else []
        self._tree = None

    def draft(self, nodes: int) -> TokenTree:
        text = self._text
        if self._drafter.text_length == 0:
            self._drafter.prefill(text[:-1])
        self._tree = tree = TokenTree(text[-1], min(nodes, self.policy.node_budget))
        run_alone(self._drafter.drafting(tree, RoundContext(self.policy.max_depth, len(text) - 1)), None)
        return tree

    def _close_round(self, tree: TokenTree, tokens: Sequence[int], rows: Sequence[Row]) -> None:
        """Report a verified tree as the decoding loop does; nodes off the path have no rows."""
        path = tree.path_along(tokens)[: len(tokens) - 1]
        predictions = [-1] * len(tree)
        ids: list[list[int]] = [[] for _ in predictions]
        log_probs: list[list[float]] = [[] for _ in predictions]
        kept = self._drafter.recycled
        for node, token, row in zip((0, *path), tokens, rows, strict=True):
            predictions[node] = token
            ids[node], log_probs[node] = list(row[0][:kept]), list(row[1][:kept])
        self._drafter.observe(tree, path, Verification(predictions, (ids, log_probs), 0.0))
        self._drafter.keep(tree, path)
        entries = len(self._text) - 1
        seconds = self.costs(len(tree), entries)
        self._drafter.close_round(RoundOutcome(len(tokens), len(tree), entries, seconds, seconds))
