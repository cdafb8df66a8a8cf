"""One tree from all sources, as large as it pays."""

from collections.abc import Callable
from itertools import groupby
from math import exp, log

from dynatree.drafting.base import Drafter
from dynatree.drafting.draft_model import ModelDrafter
from dynatree.drafting.lookup import LOOKUPS
from dynatree.latency.measure import CostModel
from dynatree.models.runner import ModelRunner
from dynatree.policies.calibration import Estimate, Proposal
from dynatree.policies.cost_aware import CostAware
from dynatree.tree import TokenTree

RECYCLED = 8  # successors of each verified node that the target's own prediction leaves behind


class Pool:
    """The candidates of a round: a tree larger than what is verified, and what is believed of its nodes."""

    def __init__(self, root: int, size: int):
        self.tree = TokenTree(root, size)
        self.proposed: dict[int, list[Estimate]] = {}  # node -> all estimates of its successors

    def probabilities(self) -> list[tuple[float, int]]:
        """The probability of the path to each node below the root and the node, the most probable first."""
        paths = self.tree.log_probs
        return sorted(((exp(paths[n]), n) for n in range(1, len(self.tree))), key=lambda one: (-one[0], one[1]))

    def path(self, node: int) -> list[int]:
        """Tokens from below the root to ``node``."""
        tokens = []
        while node:
            tokens.append(self.tree.tokens[node])
            node = self.tree.parents[node]
        return tokens[::-1]


class HybridDrafter(Drafter):
    """Drafts for one request with a draft model, if there is one, and with lookups.

    First a pool of candidates is grown from what costs nothing. Then, level by level, the draft model adds to it while
    the policy expects that to pay. The nodes that pay are verified.
    """

    def __init__(
        self,
        model: ModelDrafter | None,
        policy: CostAware,
        target: ModelRunner,
        target_latency: CostModel,
        draft_latency: CostModel | None,
        clock: Callable[[], float],
        batch: int,
    ):
        self.draft_model = model
        self.policy = policy
        self.clock = clock
        self.batch = batch
        self.target = target
        self.target_latency = target_latency
        self.draft_latency = draft_latency
        self.lookups = [LOOKUPS[name]() for name in policy.sources if name in LOOKUPS]
        self.pool: Pool | None = None
        self.looked_up: dict[tuple[int, ...], list[Proposal]] = {}  # this round, by the tokens below the root
        self.nodes: list[int] = []  # node of the verified tree -> node of the pool
        self.length = 0  # tokens of the prompt and the output, the root included
        self.before_root = 0
        self.round_began = 0.0
        self.drafting = 0.0  # seconds in the draft model this round, but for reading the prompt
        self.has_read = False  # whether the draft model has read the prompt
        super().__init__(model and model.model)

    def prefill(self, prompt: list[int]) -> None:
        # The draft model reads the prompt when it is first run.
        for lookup in self.lookups:
            lookup.read(prompt)
        if self.draft_model:
            self.draft_model.pending = list(prompt)
        self.length = len(prompt)
        self.before_root = prompt[-1]

    def draft(self, tree: TokenTree, policy: CostAware, most_depth: int, stop_tokens: frozenset[int]) -> list[int]:
        self.round_began = self.clock()
        self.drafting = 0.0
        self.length += 1
        root = tree.tokens[0]
        self.looked_up.clear()
        for lookup in self.lookups:
            lookup.read([root])
        if self.draft_model:
            self.draft_model.begin(root)
        depth = min(most_depth, policy.max_depth)
        widths = [self.batch * (nodes + 1) for nodes in range(policy.node_budget + 1)]
        verifying = self.target_latency.of(widths, self._target_rows)
        rate = policy.rate(verifying[0])
        costs = [rate * seconds for seconds in verifying]
        rate *= self.batch
        self.pool = self._grow(root, depth, stop_tokens, costs)
        chosen, free_worth = self._choose(costs)
        if self.draft_model and depth and self._model_pays(rate, most_depth):
            self.pool = self._grow(root, depth, stop_tokens, costs, rate, free_worth)
            chosen, _ = self._choose(costs)
        self._fill(tree, chosen)
        return tree.tokens

    def candidates(self, tree: TokenTree) -> TokenTree:
        return self.pool.tree

    def learn(self, tree: TokenTree, path: list[int], predictions: list[int], rank: Callable) -> None:
        for node in (0, *path):
            for estimate in self.pool.proposed.get(self.nodes[node], ()):
                self.policy.calibration.observe(estimate, estimate.token == predictions[node])
        if "recycling" not in self.policy.sources:
            return
        tokens, log_probs = rank(RECYCLED)
        for node, parent in enumerate(tree.parents):
            context = (self.before_root if parent < 0 else tree.tokens[parent], tree.tokens[node])
            for lookup in self.lookups:
                lookup.observe(context, tokens[node], [exp(value) for value in log_probs[node]])

    def keep(self, tree: TokenTree, path: list[int]) -> None:
        tokens = [tree.tokens[node] for node in path]
        if self.draft_model:
            self.draft_model.keep(self.pool.tree, [self.nodes[node] for node in path])
        for lookup in self.lookups:
            lookup.read(tokens)
        self.length += len(tokens)
        self.before_root = tree.tokens[path[-1] if path else 0]

    def close_round(self, emitted: int, verify_seconds: float) -> None:
        new, rows = self.target.passes[-1]
        if self.batch == 1:
            self.target_latency.observe(new, rows, verify_seconds)
        plain, verifying = self.target_latency.of((self.batch, self.batch * new), rows)
        # by what is known of passes, so that a machine which is slow for a while is not charged to the trees
        passes = (self.batch * self.drafting + verifying) / plain
        self.policy.observe_round(emitted, self.clock() - self.round_began, passes)

    def _model_pays(self, rate: float, left: int) -> bool:
        """Whether to run the draft model at all; catching up with the output is shared by the rounds to come."""
        seconds = self.draft_latency(1, self._draft_rows)
        behind = self.draft_latency(max(len(self.draft_model.pending), 1), self._draft_rows) - seconds
        price = rate * (seconds + behind / left)
        if not self._affords(seconds + behind * self.has_read):
            return False
        return self.policy.level_pays(0, 1.0, price) or self.policy.may_probe(seconds + behind)

    def _grow(self, root, depth, stop_tokens, costs, rate: float = 0.0, free_worth: float | None = None) -> Pool:
        """A pool from the lookups alone, or from the draft model too if the worth without it is given."""
        policy = self.policy
        pool = Pool(root, policy.drafted_nodes)
        tree = pool.tree
        least = _least_price(costs) / 2
        level, runs = [0], []
        expanded: set[int] = set()
        while level and tree.room and tree.depth < depth:
            parents = [node for node in level if tree.tokens[node] not in stop_tokens]
            proposals = {node: list(self._look_up(pool.path(node))) for node in parents}
            if free_worth is not None:
                nodes = self._worth_drafting(tree, parents, expanded, rate)
                if nodes:
                    before = free_worth if not runs else policy.worth([p for p, _ in pool.probabilities()], costs)[1]
                    start = self.clock()
                    self._draft(tree, nodes, proposals)
                    mass = sum(exp(tree.log_probs[node]) for node in nodes)
                    runs.append((tree.depth, mass, before, self.clock() - start))
                    expanded.update(nodes)
            children = []
            for node in parents:
                pool.proposed[node] = policy.calibration.merge(proposals[node], tree.depth + 1)
                share = exp(tree.log_probs[node])
                children += [
                    (share * estimate.probability, node, estimate.token)
                    for estimate in pool.proposed[node]
                    if share * estimate.probability > least
                ]
            children.sort(key=lambda child: -child[0])
            if not children:
                break
            paths, nodes, tokens = zip(*children[: tree.room], strict=True)
            # no child above its parent by rounding, so that the most probable nodes are a tree
            values = [min(log(path), tree.log_probs[node]) for path, node in zip(paths, nodes, strict=True)]
            level = tree.add_level(nodes, tokens, values)
        self._learn_levels(pool, costs, rate, runs)
        return pool

    def _look_up(self, path: list[int]) -> list[Proposal]:
        """What the lookups propose after a drafted path; the round's second pool asks again for paths of the first."""
        key = tuple(path)
        if key not in self.looked_up:
            most = self.policy.candidates
            self.looked_up[key] = [one for lookup in self.lookups for one in lookup.propose(path, most)]
        return self.looked_up[key]

    def _worth_drafting(self, tree: TokenTree, parents: list[int], expanded: set[int], rate: float) -> list[int]:
        """The nodes of a level to run the draft model over: as many of the most probable as pay."""
        if tree.depth == 0:
            return parents
        ready = [node for node in parents if tree.parents[node] in expanded]
        ready.sort(key=lambda node: -tree.log_probs[node])
        last = 0.0
        for count, node in enumerate(ready, start=1):
            seconds = self.draft_latency(count, self._draft_rows)
            share = exp(tree.log_probs[node])
            pays = self.policy.level_pays(tree.depth, share, rate * (seconds - last))
            if not (pays and self._affords(seconds)):
                return ready[: count - 1]
            last = seconds
        return ready

    def _affords(self, seconds: float) -> bool:
        """Whether another pass of the draft model may bring nothing."""
        return self.policy.affords(self.batch * (self.drafting + seconds) / self._plain())

    @property
    def _target_rows(self) -> int:
        """Rows that the target holds before it verifies."""
        return self.length - 1 - self.target.cache.evicted

    @property
    def _draft_rows(self) -> int:
        """Rows that the draft model attends to once it has read the output."""
        return self.length - self.draft_model.model.cache.evicted

    def _plain(self) -> float:
        """Seconds of a pass of the target over the roots alone."""
        return self.target_latency(self.batch, self._target_rows)

    def _draft(self, tree: TokenTree, nodes: list[int], proposals: dict[int, list[Proposal]]) -> None:
        start = self.clock()
        tokens, log_probs = self.draft_model.expand(tree, nodes, self.policy.candidates)
        seconds = self.clock() - start
        if self.has_read:
            self.draft_latency.observe(*self.draft_model.passes[-1], seconds)
        self.drafting += seconds if self.has_read else self.draft_latency(1, self._draft_rows)
        self.has_read = True
        for node, row, values in zip(nodes, tokens, log_probs, strict=True):
            proposals[node] += [
                Proposal(token, "model", rank, exp(value))
                for rank, (token, value) in enumerate(zip(row, values, strict=True))
                if value > float("-inf")
            ]

    def _learn_levels(self, pool: Pool, costs: list[float], rate: float, runs: list[tuple]) -> None:
        if not runs:
            return
        final = self.policy.worth([p for p, _ in pool.probabilities()], costs)[1]
        later = 0.0
        for depth, mass, before, seconds in reversed(runs):
            self.policy.observe_level(depth, mass, final - before - rate * later)
            later += seconds

    def _choose(self, costs: list[float]) -> tuple[list[int], float]:
        ordered = self.pool.probabilities()
        count, worth = self.policy.worth([p for p, _ in ordered], costs)
        return sorted(node for _, node in ordered[:count]), worth

    def _fill(self, tree: TokenTree, chosen: list[int]) -> None:
        """Copy the chosen nodes of the pool, level by level."""
        pool = self.pool.tree
        place = {0: 0}
        for _, level in groupby(chosen, key=lambda node: pool.depths[node]):
            nodes = list(level)
            parents = [place[pool.parents[node]] for node in nodes]
            added = tree.add_level(parents, [pool.tokens[n] for n in nodes], [pool.log_probs[n] for n in nodes])
            place.update(zip(nodes, added, strict=True))
        self.nodes = list(place)


def _least_price(costs: list[float]) -> float:
    """The price of a node in the tree size where it is lowest; 0 where wide passes are held to be the cheaper ones."""
    return max(0.0, min(((cost - costs[0]) / n for n, cost in enumerate(costs[1:], start=1)), default=0.0))
