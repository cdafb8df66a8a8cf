"""The candidates of a round, from which the verified tree is selected."""

from heapq import heappush, heapreplace
from itertools import groupby
from math import log

from dynatree.drafting.lookup import CONTEXT
from dynatree.policies.calibration import Estimate
from dynatree.tree import TokenTree


class Pool:
    """A tree of candidates, larger than the tree that is verified. Node 0 is the root.

    Args:
        context: the last tokens of the text, the root included.
        size: maximum number of candidates.
        width: maximum number of candidates on a level.
        selectable: nodes that can be selected; less probable candidates than so many others are left out.

    Attributes:
        tokens: token id of each node.
        parents: index of each node's parent, -1 for the root.
        depths: number of tokens from the root down to each node.
        paths: probability that the path to each node is accepted.
        contexts: for each node, the last tokens of the text and of the path to the node.
        estimates: for each node that was expanded, the estimates of all its proposed successors.
    """

    def __init__(self, context: tuple[int, ...], size: int, width: int, selectable: int):
        self.tokens = [context[-1]]
        self.parents = [-1]
        self.depths = [0]
        self.paths = [1.0]
        self.contexts = [context]
        self.estimates: dict[int, list[Estimate]] = {}
        self._end = size + 1
        self._width = width
        self._selectable = selectable
        self._best: list[float] = []  # heap of the largest path probabilities

    @property
    def depth(self) -> int:
        """Depth of the deepest node."""
        return self.depths[-1]

    @property
    def full(self) -> bool:
        """True if no candidate can be added."""
        return len(self.tokens) >= self._end

    def ranked(self) -> tuple[list[int], list[float]]:
        """Return the nodes below the root, most probable path first, and their path probabilities."""
        paths = self.paths
        nodes = sorted(range(1, len(paths)), key=paths.__getitem__, reverse=True)
        return nodes, [paths[node] for node in nodes]

    def mass(self, nodes: list[int]) -> float:
        """Return the sum of the path probabilities of ``nodes``."""
        return sum([self.paths[node] for node in nodes])

    def add_level(self, parents: list[int], estimates: list[list[Estimate]], min_probability: float) -> list[int]:
        """Add the most probable children to the deepest level, as far as they fit.

        Args:
            parents: nodes of the deepest level.
            estimates: of the successors of each parent, most probable first.
            min_probability: children need a larger path probability than this.

        Returns:
            The indices of the new nodes, most probable path first.
        """
        children: list[tuple[float, int, int]] = []  # path probability, parent, token
        for parent, successors in zip(parents, estimates, strict=True):
            self.estimates[parent] = successors
            share = self.paths[parent]
            for probability, token, _, _ in successors:
                path = share * probability
                if path <= min_probability:
                    break
                children.append((path, parent, token))
        children.sort(key=lambda child: -child[0])
        first, depth = len(self.tokens), self.depth + 1
        del children[min(self._end - first, self._width) :]
        best, selectable = self._best, self._selectable
        for place, (path, parent, token) in enumerate(children):
            if len(best) < selectable:
                heappush(best, path)
            elif path <= best[0]:
                del children[place:]
                break
            else:
                heapreplace(best, path)
            self.tokens.append(token)
            self.parents.append(parent)
            self.depths.append(depth)
            self.paths.append(path)
            self.contexts.append((*self.contexts[parent], token)[-CONTEXT:])
        return list(range(first, first + len(children)))

    def copy_into(self, tree: TokenTree, selected: list[int]) -> list[int]:
        """Copy nodes of the pool, level by level.

        Args:
            tree: a tree that consists of its root.
            selected: nodes of the pool in increasing order; the parent of each is the root or selected.

        Returns:
            The node of the pool behind each node of ``tree``.
        """
        copies = {0: 0}
        for _, level in groupby(selected, key=self.depths.__getitem__):
            nodes = list(level)
            parents = [copies[self.parents[node]] for node in nodes]
            log_probs = [log(self.paths[node]) for node in nodes]
            added = tree.add_level(parents, [self.tokens[node] for node in nodes], log_probs)
            copies.update(zip(nodes, added, strict=True))
        return list(copies)

    def as_tree(self) -> TokenTree:
        """Return all candidates as a tree."""
        tree = TokenTree(self.tokens[0], len(self.tokens) - 1)
        self.copy_into(tree, list(range(1, len(self.tokens))))
        return tree
