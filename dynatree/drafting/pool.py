"""The candidates of a round, from which the verified tree is selected."""

from itertools import groupby
from math import exp, log

from dynatree.policies.calibration import Estimate
from dynatree.tree import TokenTree


class Pool:
    """A tree of candidates, larger than the tree that is verified.

    Args:
        root: token id of the last emitted token.
        size: maximum number of candidates.

    Attributes:
        tree: the candidates.
        estimates: for each node that was expanded, the estimates of all its proposed successors.
    """

    def __init__(self, root: int, size: int):
        self.tree = TokenTree(root, size)
        self.estimates: dict[int, list[Estimate]] = {}

    def ranked(self) -> tuple[list[int], list[float]]:
        """Return the nodes below the root, most probable path first, and their path probabilities."""
        paths = [exp(value) for value in self.tree.log_probs]
        nodes = sorted(range(1, len(self.tree)), key=lambda node: (-paths[node], node))
        return nodes, [paths[node] for node in nodes]

    def path(self, node: int) -> list[int]:
        """Return the tokens on the path from below the root to ``node``."""
        tokens: list[int] = []
        while node:
            tokens.append(self.tree.tokens[node])
            node = self.tree.parents[node]
        return tokens[::-1]

    def mass(self, nodes: list[int]) -> float:
        """Return the sum of the path probabilities of ``nodes``."""
        return sum(exp(self.tree.log_probs[node]) for node in nodes)

    def add_level(
        self, estimates: dict[int, list[Estimate]], min_probability: float, width: int | None = None
    ) -> list[int]:
        """Add the most probable children to the deepest level, as far as they fit.

        Args:
            estimates: for each parent, the estimates of its successors.
            min_probability: children need a larger path probability than this.
            width: number of children at most; None for as many as fit.

        Returns:
            The indices of the new nodes.
        """
        tree = self.tree
        self.estimates |= estimates
        children: list[tuple[float, int, int]] = []  # path probability, parent, token
        for node, successors in estimates.items():
            share = exp(tree.log_probs[node])
            children += [
                (share * one.probability, node, one.token)
                for one in successors
                if share * one.probability > min_probability
            ]
        children.sort(key=lambda child: -child[0])
        del children[min(tree.capacity_left, len(children) if width is None else width) :]
        # The minimum corrects rounding: a child above its parent would break the most probable nodes as a tree.
        log_probs = [min(log(path), tree.log_probs[node]) for path, node, _ in children]
        return tree.add_level([node for _, node, _ in children], [token for *_, token in children], log_probs)

    def copy_into(self, tree: TokenTree, selected: list[int]) -> list[int]:
        """Copy nodes of the pool, level by level.

        Args:
            tree: a tree that consists of its root.
            selected: nodes of the pool in increasing order; the parent of each is the root or selected.

        Returns:
            The node of the pool behind each node of ``tree``.
        """
        pool = self.tree
        copies = {0: 0}
        for _, level in groupby(selected, key=lambda node: pool.depths[node]):
            nodes = list(level)
            parents = [copies[pool.parents[node]] for node in nodes]
            added = tree.add_level(parents, [pool.tokens[n] for n in nodes], [pool.log_probs[n] for n in nodes])
            copies.update(zip(nodes, added, strict=True))
        return list(copies)
