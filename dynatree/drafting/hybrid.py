"""One tree from all sources of proposals, as large as it pays."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dynatree.drafting.base import Drafter, Drafting, Nodes, RoundContext, RoundOutcome, Verification
from dynatree.drafting.lookup_sources import LookupSources
from dynatree.drafting.memory import Memory
from dynatree.drafting.pool import Pool
from dynatree.drafting.round_costs import RoundCosts
from dynatree.drafting.timed_draft import TimedDraft
from dynatree.latency.cost_model import CostModel
from dynatree.models.ngram_table import NGramTable
from dynatree.models.runner import ModelRunner
from dynatree.policies.calibration import ALL_SOURCES, Estimate, Proposal
from dynatree.policies.cost_aware import LOOKUP_RESERVE, CostAware
from dynatree.tree import TokenTree

BEST_SUCCESSOR = 0.5  # usual probability of the best successor of a node
TOKENS_PER_DRAFT = 4.0  # usual number of emitted tokens from one round with the draft model to the next
FREE_CANDIDATES = 2  # candidates of the lookups alone over those of a pool that the draft model expands


@dataclass(frozen=True)
class LevelPass:
    """A forward pass of the draft model over nodes of one level.

    Attributes:
        depth: depth of the nodes.
        mass: sum of their path probabilities.
        gain_before: expected gain of the best tree before the forward pass, in tokens.
        seconds: duration of the forward pass and of the host's work on the level.
    """

    depth: int
    mass: float
    gain_before: float
    seconds: float


class HybridDrafter(Drafter):
    """A drafter that merges the proposals of lookups and of a draft model into one tree.

    Each round has three steps:

    1. Grow a pool of candidates from the lookups alone.
    2. If the draft model is expected to pay, grow another pool level by level. At each level the draft model expands
       as many of the most probable nodes as pay.
    3. Select the candidates of the largest expected gain as the tree to verify.

    Host time counts like forward passes. The drafter measures it by part of a round, and by lookup.

    Args:
        policy: estimates gains and selects nodes.
        target_costs: cost model of the target.
        draft: the draft model; None without one.
        stop_tokens: end-of-sequence ids; nodes that carry one get no children.
        clock: returns the current time in seconds.
        chains: True if a model reads tokens in order only, so each level has one node.
        memory: of past outputs; None without one.
        table: n-gram table of the target; None without one.
    """

    def __init__(
        self,
        policy: CostAware,
        target_costs: CostModel,
        draft: TimedDraft | None,
        stop_tokens: frozenset[int],
        clock: Callable[[], float],
        chains: bool = False,
        memory: Memory | None = None,
        table: NGramTable | None = None,
    ):
        self.policy = policy
        self.target_costs = target_costs
        self.timed_draft = draft
        self.stop_tokens = stop_tokens
        self._width = 1 if chains else policy.drafted_nodes
        self._clock = clock
        self._lookups = LookupSources(policy, clock, memory, table)
        self._merged: dict[tuple[tuple[int, ...], int], list[Estimate]] = {}  # of the lookups, by context and depth
        self._pool = Pool((0,), 0, 0, 0)
        self._nodes: list[int] = []  # node of the verified tree -> node of the pool
        self.text_length = 0  # tokens of the prompt and the output, the root included
        self._batch = 1
        self._host_seconds = 0.0  # of this round, beyond those of plain decoding
        self._node_seconds = 0.0  # of copying the selected nodes

    @property
    def runner(self) -> ModelRunner | None:
        return self.timed_draft.drafter.runner if self.timed_draft else None

    @property
    def recycled(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._lookups.recycled

    @property
    def reads_states(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.timed_draft is not None and self.timed_draft.drafter.reads_states

    def prefill(self, prompt: list[int], states: torch.Tensor | None = None) -> None:
        self._lookups.read(prompt)
        if self.timed_draft:
            self.timed_draft.drafter.defer(prompt, states)
        self.text_length = len(prompt)

    def drafting(self, tree: TokenTree, context: RoundContext) -> Drafting[list[int] | torch.Tensor]:
        started = self._clock()
        costs = RoundCosts.estimate(self.target_costs, self.policy, context)
        self._begin_round(tree.tokens[0], costs)
        max_depth = min(context.max_depth, self.policy.max_depth)
        self._pool = self._new_pool(FREE_CANDIDATES)
        if self._lookups.in_use:
            self._grow(self._pool, max_depth, costs)
        selected, gain = self._select(self._pool, costs)
        forward_seconds = 0.0
        draft = self.timed_draft
        if draft and max_depth and self._model_pays(draft, context.max_depth, costs):
            selected, forward_seconds = yield from self._grow_with_model(draft, max_depth, costs, gain)
        selected_at = self._clock()
        if selected:
            self._nodes = self._pool.copy_into(tree, sorted(selected))
        ended = self._clock()
        self._node_seconds = ended - selected_at
        self._host_seconds = ended - started - forward_seconds
        return tree.tokens

    @property
    def pool(self) -> Pool:
        return self._pool

    def observe(self, tree: TokenTree, path: list[int], verification: Verification) -> None:
        started = self._clock()
        if self.timed_draft:
            self.timed_draft.drafter.observe(tree, path, verification)
        self._credit_sources(tree, path, verification.predictions)
        if self._lookups.recycled:
            self._lookups.observe(tree, path, verification.ranked, verification.rank_seconds)
        seconds = self._clock() - started + verification.rank_seconds
        self._host_seconds += seconds
        self.policy.host.node.observe((self._node_seconds + seconds) / len(tree))

    def keep(self, tree: Nodes, path: list[int]) -> None:
        if self.timed_draft:
            self.timed_draft.drafter.keep(self._pool, [self._nodes[node] for node in path])
        tokens = [tree.tokens[node] for node in path]
        self._lookups.read(tokens)
        self.text_length += len(tokens)

    def read_forced(self, tokens: list[int]) -> None:
        if self.timed_draft:
            self.timed_draft.drafter.read_forced(tokens)
        self._lookups.read(tokens)
        self.text_length += len(tokens)

    def close_round(self, outcome: RoundOutcome) -> None:
        if self._batch == 1:
            self.target_costs.observe(outcome.new, outcome.entries, outcome.verify_seconds)
        plain_seconds, verify_seconds = self.target_costs.of((self._batch, self._batch * outcome.new), outcome.entries)
        # Predicted seconds, so that a machine that is slow for a while does not use up the loss budget.
        extra_seconds = self.policy.host.round.observe(self._host_seconds)
        extra_seconds += self.timed_draft.round_seconds if self.timed_draft else 0.0
        plain_passes = (self._batch * extra_seconds + verify_seconds) / plain_seconds
        self.policy.observe_round(outcome.emitted, outcome.round_seconds, plain_passes)

    def close(self, emitted: list[int]) -> None:
        self._lookups.close(emitted)

    def _begin_round(self, root: int, costs: RoundCosts) -> None:
        self._batch = costs.batch
        self.text_length += 1
        self._merged.clear()
        self._nodes = [0]
        self._lookups.read([root])
        self._lookups.begin_round(costs.rate)
        if self.timed_draft:
            self.timed_draft.begin_round(root, self.text_length, self._batch)

    def _new_pool(self, factor: int = 1) -> Pool:
        size = factor * self.policy.drafted_nodes
        return Pool(self._lookups.context, size, self._width, self.policy.node_budget)

    def _grow(self, pool: Pool, max_depth: int, costs: RoundCosts) -> None:
        """Add candidates of the lookups alone."""
        started, level = self._clock(), [0]
        while level and not pool.full and pool.depth < max_depth:
            level = self._add_level(pool, self._parents(pool, level, costs), {}, costs)
        if pool.estimates:
            self.policy.host.expansion.observe((self._clock() - started) / len(pool.estimates))

    def _grow_with_model(
        self, draft: TimedDraft, max_depth: int, costs: RoundCosts, free_gain: float
    ) -> Drafting[tuple[list[int], float]]:
        """Grow a pool from the lookups and the model; return the selected nodes and the seconds for forward passes.

        ``free_gain`` is the gain without the model, in tokens.
        """
        pool, level = self._new_pool(), [0]
        passes: list[LevelPass] = []
        forward_seconds = 0.0
        expanded: set[int] = set()
        while level and not pool.full and pool.depth < max_depth:
            started, depth = self._clock(), pool.depth
            parents = self._parents(pool, level, costs)
            nodes = self._nodes_to_expand(draft, pool, parents, expanded, costs)
            if not nodes:
                level = self._add_level(pool, parents, {}, costs)
                continue
            gain_before = self._select(pool, costs)[1] if passes else free_gain
            drafted, seconds, elapsed = yield from draft.expand(pool, nodes, self.policy.candidates)
            level = self._add_level(pool, parents, dict(zip(nodes, drafted, strict=True)), costs)
            expanded.update(nodes)
            host_seconds = self._clock() - started - elapsed
            passes.append(LevelPass(depth, pool.mass(nodes), gain_before, seconds + host_seconds))
            self.policy.host.level.observe(host_seconds)
            forward_seconds += elapsed
        self._pool = pool
        selected, gain = self._select(pool, costs, LOOKUP_RESERVE if passes else 0.0)
        self._observe_levels(gain, costs, passes)
        return selected, forward_seconds

    def _parents(self, pool: Pool, level: list[int], costs: RoundCosts) -> list[int]:
        """Nodes of a level whose best successor may pay for its verification and for the lookup."""
        min_path = (costs.min_node_tokens + costs.expansion_tokens) / BEST_SUCCESSOR
        return [node for node in level if pool.paths[node] > min_path and pool.tokens[node] not in self.stop_tokens]

    def _add_level(
        self, pool: Pool, parents: list[int], drafted: dict[int, list[Proposal]], costs: RoundCosts
    ) -> list[int]:
        """Add children that may pay; half the cost of the cheapest node leaves a margin for steps of the cost model.

        ``drafted`` holds the proposals of the draft model by node.
        """
        depth, merge = pool.depth + 1, self.policy.calibration.merge
        contexts = [pool.contexts[node] for node in parents]
        estimates: list[list[Estimate]] = []
        for node, context, found in zip(parents, contexts, self._lookups.propose(contexts), strict=True):
            key = (context, depth)
            if node in drafted:
                estimates.append(merge([*found, *drafted[node]], depth))
                continue
            if key not in self._merged:
                self._merged[key] = merge(found, depth)
            estimates.append(self._merged[key])
        return pool.add_level(parents, estimates, costs.min_node_tokens / 2)

    def _model_pays(self, draft: TimedDraft, tokens_left: int, costs: RoundCosts) -> bool:
        """Return True if the draft model should run. Later rounds share the cost of reading earlier text."""
        seconds = draft.seconds()[0] + self.policy.host.level.value
        catch_up_seconds = draft.catch_up_seconds()
        if not self._affords(draft, seconds + catch_up_seconds * draft.has_read_prompt, costs):
            return False
        cost = costs.draft_tokens(seconds + catch_up_seconds * TOKENS_PER_DRAFT / tokens_left)
        return self.policy.level_size(0, [1.0], [cost]) > 0 or self.policy.may_probe(seconds + catch_up_seconds)

    def _nodes_to_expand(
        self, draft: TimedDraft, pool: Pool, parents: list[int], expanded: set[int], costs: RoundCosts
    ) -> list[int]:
        """Nodes of a level that the draft model expands: as many of the most probable as pay."""
        if pool.depth == 0:
            return parents
        ready = [node for node in parents if pool.parents[node] in expanded]
        if not ready:
            return ready
        host_seconds = self.policy.host.level.value
        seconds = [host_seconds + value for value in draft.seconds(len(ready))]
        paths = [pool.paths[node] for node in ready]
        count = self.policy.level_size(pool.depth, paths, [costs.draft_tokens(value) for value in seconds])
        return ready[:count] if count and self._affords(draft, seconds[count - 1], costs) else []

    def _affords(self, draft: TimedDraft, seconds: float, costs: RoundCosts) -> bool:
        """Return True if the loss budget covers a draft forward pass of ``seconds`` of which no token is accepted."""
        return self.policy.affords(costs.plain_passes(draft.round_seconds + seconds), LOOKUP_RESERVE)

    def _observe_levels(self, final_gain: float, costs: RoundCosts, passes: list[LevelPass]) -> None:
        """Record the gain of each level, net of the cost of the levels below it."""
        later_seconds = 0.0
        for level in reversed(passes):
            gain = final_gain - level.gain_before - costs.draft_tokens(later_seconds)
            self.policy.observe_level(level.depth, level.mass, gain)
            later_seconds += level.seconds

    def _select(self, pool: Pool, costs: RoundCosts, reserve: float = 0.0) -> tuple[list[int], float]:
        """Return the nodes of the largest expected gain, and the gain in tokens."""
        nodes, probabilities = pool.ranked()
        count, gain = self.policy.expected_gain(probabilities, costs.verify_tokens, reserve)
        return nodes[:count], gain

    def _credit_sources(self, tree: TokenTree, path: list[int], predictions: list[int]) -> None:
        """Record the outcome of each proposal on the path, and the emitted tokens of each source."""
        credits: dict[str, float] = dict.fromkeys(ALL_SOURCES, 0.0)
        for node, child in zip((0, *path), (*path, None), strict=True):
            estimates = self._pool.estimates.get(self._nodes[node], [])
            self.policy.calibration.observe(estimates, predictions[node])
            if child is not None:
                (sources,) = (one.sources for one in estimates if one.token == tree.tokens[child])
                for index, name in enumerate(ALL_SOURCES):
                    credits[name] += (sources >> index & 1) / sources.bit_count()
        self._lookups.close_round(credits)
