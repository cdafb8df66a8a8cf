"""Decode with a policy of one's own: wide near the root, a chain below.

A policy decides the shape of the drafted tree and never touches a model.
Run this after `make setup model`.
"""

from dataclasses import dataclass

from dynatree import TokenTree, generate, load_pair
from dynatree.policies.base import Policy


@dataclass
class Comb(Policy):
    """Give the root ``width`` children and every other node one child, down to ``max_depth`` tokens.

    Attributes:
        width: children of the root.
        max_depth: drafted tokens on the longest path.
    """

    width: int = 3
    max_depth: int = 4

    @property
    def max_children(self) -> int:
        """Return the largest number of children of any node."""
        return self.width

    def expands(self, tree: TokenTree, node: int) -> bool:
        """Return True if ``node`` gets children."""
        return tree.depths[node] < self.max_depth

    def breadth(self, node: int, confidence: float) -> int:
        """Return the number of children of ``node``; ``confidence`` is the draft's highest probability."""
        return self.width if node == 0 else 1


pair = load_pair("resources/models/smollm2-135m-instruct", "models/smollm2-135m-draft")
out = generate(pair, "The lighthouse keeper", method=Comb(node_budget=12), max_new_tokens=64)
print(out.text)
print(f"{out.stats.accepted} of {out.stats.verified} verified nodes accepted in {out.stats.rounds} rounds")
