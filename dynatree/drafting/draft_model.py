"""A tree drafted by a small model, one forward pass per level."""

import heapq
import math
from collections.abc import Sequence

import torch

from dynatree.drafting.base import Drafter, Drafting, DraftPass, Nodes, RoundContext
from dynatree.models.runner import ModelRunner
from dynatree.models.transfer import upload
from dynatree.policies.base import Policy
from dynatree.tree import TokenTree, mask_from_bits


class ModelDrafter(Drafter):
    """A drafter that runs a draft model with its own cache.

    The cache holds the emitted tokens except the newest ones (``pending``), and during a round also the expanded nodes
    of the tree. Accepted nodes that were expanded stay in the cache, so nothing is computed twice.

    Args:
        runner: the draft model.
        policy: decides the shape of the tree.
        stop_tokens: end-of-sequence ids; nodes that carry one get no children.

    Attributes:
        pending: emitted tokens that the draft model has not read.
    """

    def __init__(self, runner: ModelRunner, policy: Policy, stop_tokens: frozenset[int]):
        self._runner = runner
        self.policy = policy
        self.stop_tokens = stop_tokens
        self.pending: list[int] = []
        self._entries: dict[int, int] = {}  # tree node -> its cache entry
        self._paths: dict[int, int] = {}  # tree node -> bits of the entries since the root that it attends to

    @property
    def runner(self) -> ModelRunner:
        return self._runner

    def prefill(self, prompt: list[int], states: torch.Tensor | None = None) -> None:
        if self.runner.cache.is_shared:
            self.defer(prompt)
            return
        self.runner.prefill(prompt)
        self.runner.cache.keep(len(prompt), [])

    def defer(self, prompt: list[int], states: torch.Tensor | None = None) -> None:
        """Leave the prompt to the first forward pass, if there is one; for the arguments see :meth:`prefill`."""
        self.pending = prompt[self.runner.length :]

    def begin_round(self, root: int) -> None:
        """Start a round whose root is the newest emitted token."""
        self.pending.append(root)
        self._entries.clear()

    def drafting(self, tree: TokenTree, context: RoundContext) -> Drafting[list[int] | torch.Tensor]:
        self.begin_round(tree.tokens[0])
        policy, level = self.policy, [0]
        while tree.capacity_left and tree.depth < context.max_depth:
            parents = [n for n in level if tree.tokens[n] not in self.stop_tokens and policy.expands(tree, n)]
            if not parents:
                break
            found = yield self.ask(tree, parents, [tree.tokens[node] for node in parents], policy.max_children)
            children = [
                (tree.log_probs[parent] + log_prob, parent, token)
                for parent, row_tokens, row_log_probs in zip(parents, found.ids, found.log_probs, strict=True)
                for token, log_prob in _best(policy, parent, row_tokens, row_log_probs)
            ]
            if len(children) > tree.capacity_left:
                children = heapq.nlargest(tree.capacity_left, children, key=lambda child: child[0])
            if not children:
                break
            level = tree.add_level(
                [parent for _, parent, _ in children],
                [token for _, _, token in children],
                [path_log_prob for path_log_prob, _, _ in children],
            )
        return tree.tokens

    def ask(
        self,
        tree: Nodes,
        nodes: list[int],
        tokens: Sequence[int] | torch.Tensor,
        count: int,
        on_device: bool = False,
    ) -> DraftPass:
        """Return the forward pass over nodes of one level, whose entries the cache holds after it.

        Args:
            tree: the tree.
            nodes: nodes of one level whose parents were expanded before.
            tokens: their tokens.
            count: successors of each node.
            on_device: see :class:`dynatree.drafting.base.DraftPass`.
        """
        if nodes == [0]:
            pending, first = self.pending, self.runner.length
            self.pending = []
            self._entries[0], self._paths[0] = first + len(pending) - 1, 1
            return DraftPass(pending, range(first, first + len(pending)), None, count, True, on_device)
        root, seen = self._entries[0], len(self._entries)
        for index, node in enumerate(nodes, start=seen):
            self._entries[node] = root + index
            self._paths[node] = self._paths[tree.parents[node]] | 1 << index
        positions = [root + tree.depths[nodes[0]]] * len(nodes)
        return DraftPass(tokens, positions, self._visible(nodes, seen + len(nodes)), count, False, on_device)

    def _visible(self, nodes: list[int], entries: int) -> torch.Tensor | None:
        """Boolean [len(nodes), entries] since the root; None for a chain, which attends to all of them."""
        paths = [self._paths[node] for node in nodes]
        if self.runner.reads_chains and len(nodes) == 1 and paths[0] == (1 << entries) - 1:
            return None
        return mask_from_bits(paths, entries)

    def keep(self, tree: Nodes, path: list[int]) -> None:
        if not self._entries:  # nothing was drafted this round, so the root stays pending
            self.pending += [tree.tokens[node] for node in path]
            return
        expanded = [node for node in path if node in self._entries]
        root = self._entries[0]
        self.runner.cache.keep(root + 1, [self._entries[node] for node in expanded])
        self.pending = [tree.tokens[node] for node in path[len(expanded) :]]

    def read_forced(self, tokens: list[int]) -> None:
        self.pending += tokens


class StaticTreeDrafter(ModelDrafter):
    """A drafter of trees of known shape, whose tokens stay on the device until the target has verified them.

    Nodes below an end-of-sequence token are drafted like any other; they are never emitted.
    """

    def drafting(self, tree: TokenTree, context: RoundContext) -> Drafting[list[int] | torch.Tensor]:
        root = tree.tokens[0]
        self.begin_round(root)
        level, tokens = [0], upload([root], self.runner.model.device)
        scores = torch.zeros(1, device=tokens.device)
        drafted = [(tokens, scores)]
        for branch in (self.policy.shape() or [])[: context.max_depth]:
            found = yield self.ask(tree, level, tokens, branch, on_device=True)
            ids, log_probs = found.ids, found.log_probs  # [nodes of the level, branch]
            level = tree.add_nodes([node for node in level for _ in range(ids.shape[1])])
            tokens, scores = ids.flatten(), (scores[:, None] + log_probs).flatten()
            drafted.append((tokens, scores))
        tokens, scores = torch.cat([one for one, _ in drafted]), torch.cat([one for _, one in drafted])
        self.device_tokens = (tokens[1:], scores[1:])
        return tokens

    def materialize(self, tree: TokenTree, values: list[list[float]]) -> None:
        tokens, log_probs = values
        self.runner.check_numbers(log_probs)
        tree.set_tokens([int(token) for token in tokens], log_probs)


def _best(policy: Policy, node: int, tokens: list[int], log_probs: list[float]) -> list[tuple[int, float]]:
    """Return the children that ``policy`` grants ``node``, among those that the draft can propose."""
    breadth = policy.breadth(node, math.exp(log_probs[0]))
    granted = list(zip(tokens, log_probs, strict=True))[:breadth]
    return [(token, log_prob) for token, log_prob in granted if log_prob > float("-inf")]
