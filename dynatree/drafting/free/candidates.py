"""Candidate paths below a root, the best of which become a tree."""

from collections.abc import Iterable
from math import log

from dynatree.tree import TokenTree

MIN_SCORE = 1e-30  # keeps logarithms finite


class Candidates:
    """A trie of candidates with scores. Node 0 is the root.

    Args:
        root: token id of the root.

    Attributes:
        tokens: token id of each node.
    """

    def __init__(self, root: int):
        self.tokens = [root]
        self._parents = [-1]
        self._depths = [0]
        self._scores = [1.0]
        self._children: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, parent: int, token: int, score: float) -> int:
        """Return the child of a node that carries a token; add it, or raise its score to ``score``.

        Args:
            parent: index of the parent.
            token: token id of the child.
            score: estimate of the probability of the path; a child never scores above its parent.
        """
        score = min(score, self._scores[parent])
        known = self._children.get((parent, token))
        if known is not None:
            self._scores[known] = max(self._scores[known], score)
            return known
        node = len(self.tokens)
        self._children[parent, token] = node
        self.tokens.append(token)
        self._parents.append(parent)
        self._depths.append(self._depths[parent] + 1)
        self._scores.append(score)
        return node

    def add_path(self, parent: int, tokens: Iterable[int], share: float, decay: float = 1.0) -> int:
        """Add a path below a node; return its last node.

        Args:
            parent: index of the node above the path.
            tokens: token ids of the path.
            share: score of the first token relative to the parent.
            decay: score of each further token relative to the one before it.
        """
        for token in tokens:
            parent = self.add(parent, token, self._scores[parent] * share)
            share = decay
        return parent

    def score(self, node: int) -> float:
        """Return the score of a node."""
        return self._scores[node]

    def tree(self, nodes: int) -> TokenTree:
        """Return the tree of at most ``nodes`` best candidates; the first added come first among equals."""
        order = sorted(range(1, len(self)), key=lambda node: -self._scores[node])[:nodes]
        levels: dict[int, list[int]] = {}
        for node in sorted(order):
            levels.setdefault(self._depths[node], []).append(node)
        tree, copies = TokenTree(self.tokens[0], nodes), {0: 0}
        for depth in sorted(levels):
            level = levels[depth]
            parents = [copies[self._parents[node]] for node in level]
            log_probs = [log(max(self._scores[node], MIN_SCORE)) for node in level]
            copies.update(zip(level, tree.add_level(parents, [self.tokens[n] for n in level], log_probs), strict=True))
        return tree


def chain(root: int, tokens: Iterable[int], nodes: int) -> TokenTree:
    """Return a tree of one path.

    Args:
        root: token id of the root.
        tokens: token ids of the path, cut to ``nodes``.
        nodes: maximum number of nodes below the root.
    """
    candidates = Candidates(root)
    candidates.add_path(0, tokens, 1.0)
    return candidates.tree(nodes)
