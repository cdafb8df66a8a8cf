"""A tree drafted by a small model, one forward pass per level."""

import heapq
import math

import torch

from dynatree.drafting.base import Drafter
from dynatree.models.runner import ModelRunner
from dynatree.models.transfer import upload
from dynatree.policies.base import Policy
from dynatree.tree import TokenTree


class ModelDrafter(Drafter):
    """Drafts trees for one request with a draft model and its own cache.

    The cache holds the emitted tokens except the newest ones (``pending``), and during a round also the tree nodes
    that were expanded. Accepted nodes that were expanded stay; nothing is computed twice.
    """

    def __init__(self, model: ModelRunner):
        super().__init__(model)
        self.pending: list[int] = []
        self.rows: dict[int, int] = {}  # tree node -> its row in the cache

    def prefill(self, prompt: list[int]) -> None:
        self.model.forward(prompt, range(len(prompt)), last_only=True)
        self.model.cache.keep(len(prompt), [])

    def begin(self, root: int) -> None:
        """Begin a round whose root is the newest emitted token."""
        self.pending.append(root)
        self.rows.clear()

    def draft(self, tree: TokenTree, policy: Policy, most_depth: int, stop_tokens: frozenset[int]) -> list[int]:
        self.begin(tree.tokens[0])
        level = [0]
        while tree.room and tree.depth < most_depth:
            parents = [n for n in level if tree.tokens[n] not in stop_tokens and policy.expands(tree, n)]
            if not parents:
                break
            tokens, log_probs = self.expand(tree, parents, policy.most_children)
            children = [
                (tree.log_probs[parent] + log_prob, parent, token)
                for parent, row_tokens, row_log_probs in zip(parents, tokens, log_probs, strict=True)
                for token, log_prob in _best(policy, parent, row_tokens, row_log_probs)
            ]
            if len(children) > tree.room:
                children = heapq.nlargest(tree.room, children, key=lambda child: child[0])
            if not children:
                break
            path_log_probs, parents, tokens = zip(*children, strict=True)
            level = tree.add_level(parents, tokens, path_log_probs)
        return tree.tokens

    def expand(self, tree: TokenTree, nodes: list[int], most: int) -> tuple[list[list[int]], list[list[float]]]:
        """The ``most`` likely successors of ``nodes`` of one level, and their log-probabilities.

        The parent of each node was expanded before.
        """
        return self.model.rank(self._forward(tree, nodes, [tree.tokens[node] for node in nodes]), most)

    def _forward(self, tree: TokenTree, nodes: list[int], tokens: list[int] | torch.Tensor) -> torch.Tensor:
        """Logits [len(nodes), vocabulary] at nodes of one level and their tokens, whose rows the cache then holds."""
        if nodes == [0]:
            first = self.model.length
            positions = range(first, first + len(self.pending))
            logits = self.model.forward(self.pending, positions, last_only=True)
            self.pending = []
            self.rows[0] = self.model.length - 1
            return self.model.perturb(logits, positions[-1:])
        seen = [*self.rows, *nodes]
        position = self.rows[0] + tree.depths[nodes[0]]
        visible = tree.visible(nodes, seen)  # [len(nodes), rows since the root]
        for node in nodes:
            self.rows[node] = self.rows[0] + len(self.rows)
        positions = [position] * len(nodes)
        return self.model.perturb(self.model.forward(tokens, positions, visible), positions)

    def keep(self, tree: TokenTree, path: list[int]) -> None:
        if not self.rows:  # nothing was drafted this round; the root stays pending
            self.pending += [tree.tokens[node] for node in path]
            return
        known = [node for node in path if node in self.rows]
        root = self.rows[0]
        self.model.cache.keep(root + 1, [self.rows[node] for node in known])
        self.pending = [tree.tokens[node] for node in path[len(known) :]]


class StaticTreeDrafter(ModelDrafter):
    """Drafts trees whose shape is known beforehand and reads no token before the target has verified them all.

    Nodes below an end-of-sequence token are drafted like any other; they are never emitted.
    """

    def draft(self, tree: TokenTree, policy: Policy, most_depth: int, stop_tokens: frozenset[int]) -> torch.Tensor:
        root = tree.tokens[0]
        self.begin(root)
        level, tokens = [0], upload([root], self.model.model.device)
        scores = torch.zeros(1, device=tokens.device)
        drafted = [(tokens, scores)]
        for branch in policy.shape()[:most_depth]:
            ids, log_probs = self.model.best(self._forward(tree, level, tokens), branch)  # [nodes of the level, branch]
            level = tree.grow([node for node in level for _ in range(ids.shape[1])])
            tokens, scores = ids.flatten(), (scores[:, None] + log_probs).flatten()
            drafted.append((tokens, scores))
        tokens, scores = map(torch.cat, zip(*drafted, strict=True))
        self.unread = (tokens[1:], scores[1:])
        return tokens

    def read(self, tree: TokenTree, drafted: list[list[float]]) -> None:
        tokens, log_probs = drafted
        self.model.check_numbers(log_probs)
        tree.name([int(token) for token in tokens], log_probs)


def _best(policy: Policy, node: int, tokens: list[int], log_probs: list[float]) -> list[tuple[int, float]]:
    """The children ``policy`` grants ``node``, of those the draft can propose at all."""
    breadth = policy.breadth(node, math.exp(log_probs[0]))
    granted = list(zip(tokens, log_probs, strict=True))[:breadth]
    return [(token, log_prob) for token, log_prob in granted if log_prob > float("-inf")]
