"""One tree from all sources of proposals, as large as it pays."""

from dataclasses import dataclass
from math import exp

from dynatree.drafting.base import Drafter, Rank, RoundContext, RoundOutcome
from dynatree.drafting.lookup import LOOKUPS
from dynatree.drafting.pool import Pool
from dynatree.drafting.round_costs import RoundCosts
from dynatree.drafting.timed_draft import TimedDraft
from dynatree.latency.cost_model import CostModel
from dynatree.models.runner import ModelRunner
from dynatree.policies.calibration import Proposal
from dynatree.policies.cost_aware import CostAware
from dynatree.tree import TokenTree

RECYCLED = 8  # stored successors of each verified node


@dataclass(frozen=True)
class LevelPass:
    """A forward pass of the draft model over nodes of one level.

    Attributes:
        depth: depth of the nodes.
        mass: sum of their path probabilities.
        gain_before: expected gain of the best tree before the forward pass, in tokens.
        seconds: duration of the forward pass.
    """

    depth: int
    mass: float
    gain_before: float
    seconds: float


class HybridDrafter(Drafter):
    """A drafter that merges the proposals of lookups and of a draft model into one tree.

    Each round has three steps:

    1. Grow a pool of candidates from the lookups alone, which cost nothing.
    2. If the draft model is expected to pay, grow another pool level by level. At each level the draft model expands
       as many of the most probable nodes as pay.
    3. Select the candidates of the largest expected gain as the tree to verify.

    Args:
        policy: estimates gains and selects nodes.
        target_costs: cost model of the target.
        draft: the draft model; None without one.
        stop_tokens: end-of-sequence ids; nodes that carry one get no children.
        chains: True if a model reads tokens in order only, so each level has one node.
    """

    def __init__(
        self,
        policy: CostAware,
        target_costs: CostModel,
        draft: TimedDraft | None,
        stop_tokens: frozenset[int],
        chains: bool = False,
    ):
        self.policy = policy
        self.target_costs = target_costs
        self.timed_draft = draft
        self.stop_tokens = stop_tokens
        self._width = 1 if chains else policy.drafted_nodes
        self._lookups = [LOOKUPS[name]() for name in policy.sources if name in LOOKUPS]
        self._looked_up: dict[tuple[int, ...], list[Proposal]] = {}  # this round, by the tokens below the root
        self._pool = Pool(0, 0)
        self._nodes: list[int] = []  # node of the verified tree -> node of the pool
        self._text_length = 0  # tokens of the prompt and the output, the root included
        self._before_root = 0
        self._batch = 1

    @property
    def runner(self) -> ModelRunner | None:
        return self.timed_draft.drafter.runner if self.timed_draft else None

    def prefill(self, prompt: list[int]) -> None:
        for lookup in self._lookups:
            lookup.read(prompt)
        if self.timed_draft:
            self.timed_draft.drafter.pending = list(prompt)  # read in the first forward pass, if there is one
        self._text_length = len(prompt)
        self._before_root = prompt[-1]

    def draft(self, tree: TokenTree, context: RoundContext) -> list[int]:
        root = tree.tokens[0]
        self._begin_round(root, context.batch)
        max_depth = min(context.max_depth, self.policy.max_depth)
        costs = RoundCosts.estimate(self.target_costs, self.policy, context)
        self._pool = self._grow_free(root, max_depth, costs)
        selected, free_gain = self._select(self._pool, costs)
        draft = self.timed_draft
        if draft and max_depth and self._model_pays(draft, context.max_depth, costs):
            self._pool = self._grow_with_model(draft, root, max_depth, costs, free_gain)
            selected, _ = self._select(self._pool, costs)
        self._nodes = self._pool.copy_into(tree, sorted(selected))
        return tree.tokens

    def candidates(self, tree: TokenTree) -> TokenTree:
        return self._pool.tree

    def observe(self, tree: TokenTree, path: list[int], predictions: list[int], rank: Rank) -> None:
        for node in (0, *path):
            for estimate in self._pool.estimates.get(self._nodes[node], ()):
                self.policy.calibration.observe(estimate, estimate.token == predictions[node])
        if "recycling" not in self.policy.sources:
            return
        tokens, log_probs = rank(RECYCLED)
        for node, parent in enumerate(tree.parents):
            context = (self._before_root if parent < 0 else tree.tokens[parent], tree.tokens[node])
            for lookup in self._lookups:
                lookup.observe(context, tokens[node], [exp(value) for value in log_probs[node]])

    def keep(self, tree: TokenTree, path: list[int]) -> None:
        tokens = [tree.tokens[node] for node in path]
        if self.timed_draft:
            self.timed_draft.drafter.keep(self._pool.tree, [self._nodes[node] for node in path])
        for lookup in self._lookups:
            lookup.read(tokens)
        self._text_length += len(tokens)
        self._before_root = tree.tokens[path[-1] if path else 0]

    def close_round(self, outcome: RoundOutcome) -> None:
        if self._batch == 1:
            self.target_costs.observe(outcome.new, outcome.entries, outcome.verify_seconds)
        plain_seconds, verify_seconds = self.target_costs.of((self._batch, self._batch * outcome.new), outcome.entries)
        draft_seconds = self.timed_draft.round_seconds if self.timed_draft else 0.0
        # Predicted seconds, so that a machine that is slow for a while does not use up the loss budget.
        plain_passes = (self._batch * draft_seconds + verify_seconds) / plain_seconds
        self.policy.observe_round(outcome.emitted, outcome.round_seconds, plain_passes)

    def _begin_round(self, root: int, batch: int) -> None:
        self._batch = batch
        self._text_length += 1
        self._looked_up.clear()
        for lookup in self._lookups:
            lookup.read([root])
        if self.timed_draft:
            self.timed_draft.begin_round(root, self._text_length)

    def _grow_free(self, root: int, max_depth: int, costs: RoundCosts) -> Pool:
        """Return a pool from the lookups alone."""
        pool = Pool(root, self.policy.drafted_nodes)
        level = [0]
        while level and pool.tree.capacity_left and pool.tree.depth < max_depth:
            proposals = {node: self._look_up(pool.path(node)) for node in self._parents(pool.tree, level)}
            level = self._add_level(pool, proposals, costs)
        return pool

    def _grow_with_model(
        self, draft: TimedDraft, root: int, max_depth: int, costs: RoundCosts, free_gain: float
    ) -> Pool:
        """Return a pool from the lookups and the model; ``free_gain`` is the gain without the model, in tokens."""
        pool = Pool(root, self.policy.drafted_nodes)
        tree, level = pool.tree, [0]
        passes: list[LevelPass] = []
        expanded: set[int] = set()
        while level and tree.capacity_left and tree.depth < max_depth:
            parents = self._parents(tree, level)
            proposals = {node: list(self._look_up(pool.path(node))) for node in parents}
            nodes = self._nodes_to_expand(draft, tree, parents, expanded, costs)
            if nodes:
                gain_before = self._select(pool, costs)[1] if passes else free_gain
                drafted, seconds = draft.expand(tree, nodes, self.policy.candidates)
                for node, found in zip(nodes, drafted, strict=True):
                    proposals[node] += found
                passes.append(LevelPass(tree.depth, pool.mass(nodes), gain_before, seconds))
                expanded.update(nodes)
            level = self._add_level(pool, proposals, costs)
        self._observe_levels(pool, costs, passes)
        return pool

    def _parents(self, tree: TokenTree, level: list[int]) -> list[int]:
        return [node for node in level if tree.tokens[node] not in self.stop_tokens]

    def _look_up(self, path: list[int]) -> list[Proposal]:
        """Proposals of the lookups after a drafted path, cached because both pools share most paths."""
        key = tuple(path)
        if key not in self._looked_up:
            count = self.policy.candidates
            self._looked_up[key] = [one for lookup in self._lookups for one in lookup.propose(path, count)]
        return self._looked_up[key]

    def _add_level(self, pool: Pool, proposals: dict[int, list[Proposal]], costs: RoundCosts) -> list[int]:
        """Add children that may pay; half the cost of the cheapest node leaves a margin for gains of the model."""
        depth = pool.tree.depth + 1
        estimates = {node: self.policy.calibration.merge(found, depth) for node, found in proposals.items()}
        return pool.add_level(estimates, costs.min_node_tokens / 2, self._width)

    def _model_pays(self, draft: TimedDraft, tokens_left: int, costs: RoundCosts) -> bool:
        """Return True if the draft model should run. Later rounds share the cost of reading earlier output."""
        seconds, catch_up_seconds = draft.seconds(), draft.catch_up_seconds()
        if not self._affords(draft, seconds + catch_up_seconds * draft.has_read_prompt, costs):
            return False
        cost = costs.draft_tokens(seconds + catch_up_seconds / tokens_left)
        return self.policy.level_pays(0, 1.0, cost) or self.policy.may_probe(seconds + catch_up_seconds)

    def _nodes_to_expand(
        self, draft: TimedDraft, tree: TokenTree, parents: list[int], expanded: set[int], costs: RoundCosts
    ) -> list[int]:
        """Nodes of a level that the draft model expands: as many of the most probable as pay."""
        if tree.depth == 0:
            return parents
        ready = [node for node in parents if tree.parents[node] in expanded]
        ready.sort(key=lambda node: -tree.log_probs[node])
        previous_seconds = 0.0
        for count, node in enumerate(ready, start=1):
            seconds = draft.seconds(count)
            cost = costs.draft_tokens(seconds - previous_seconds)
            pays = self.policy.level_pays(tree.depth, exp(tree.log_probs[node]), cost)
            if not (pays and self._affords(draft, seconds, costs)):
                return ready[: count - 1]
            previous_seconds = seconds
        return ready

    def _affords(self, draft: TimedDraft, seconds: float, costs: RoundCosts) -> bool:
        """Return True if the loss budget covers a draft forward pass of ``seconds`` of which no token is accepted."""
        return self.policy.affords(costs.plain_passes(draft.round_seconds + seconds))

    def _observe_levels(self, pool: Pool, costs: RoundCosts, passes: list[LevelPass]) -> None:
        """Record the gain of each level, net of the cost of the levels below it."""
        if not passes:
            return
        final_gain = self._select(pool, costs)[1]
        later_seconds = 0.0
        for level in reversed(passes):
            gain = final_gain - level.gain_before - costs.draft_tokens(later_seconds)
            self.policy.observe_level(level.depth, level.mass, gain)
            later_seconds += level.seconds

    def _select(self, pool: Pool, costs: RoundCosts) -> tuple[list[int], float]:
        """Return the nodes of the largest expected gain, and the gain in tokens."""
        nodes, probabilities = pool.ranked()
        count, gain = self.policy.expected_gain(probabilities, costs.verify_tokens)
        return nodes[:count], gain
