"""The drafted token tree of one round, as flat arrays."""

from collections.abc import Sequence
from itertools import takewhile
from operator import eq

import torch


class TokenTree:
    """A tree of drafted tokens below a root, which is the last emitted token.

    Nodes are numbered in the order of insertion, level by level. The root is node 0 at depth 0, so the depth of a node
    is the offset of its position id from the root's.

    Args:
        root: token id of the last emitted token.
        node_budget: maximum number of nodes below the root.

    Attributes:
        tokens: token id of each node.
        parents: index of each node's parent, -1 for the root.
        depths: number of drafted tokens from the root down to each node.
        log_probs: the draft's log-probability of the path from the root to each node; 0 for the root.
    """

    def __init__(self, root: int, node_budget: int = 0):
        self.node_budget = node_budget
        self.tokens = [root]
        self.parents = [-1]
        self.depths = [0]
        self.log_probs = [0.0]
        self._children: dict[tuple[int, int], int] = {}
        self._paths = [1]  # bit n of an entry: node n is on the path from the root to the node, inclusive

    def __len__(self) -> int:
        return len(self.parents)

    @property
    def depth(self) -> int:
        """Depth of the deepest node."""
        return self.depths[-1]

    @property
    def capacity_left(self) -> int:
        """Number of nodes that can still be added."""
        return self.node_budget + 1 - len(self)

    @property
    def is_chain(self) -> bool:
        """True if no node has siblings, so each node attends to all nodes before it."""
        return self.depth == len(self) - 1

    @property
    def ancestors(self) -> torch.Tensor:
        """Boolean [nodes, nodes]: row ``i`` marks the nodes on the path from the root to ``i``, inclusive."""
        return mask_from_bits(self._paths, len(self))

    def add_level(self, parents: Sequence[int], tokens: Sequence[int], log_probs: Sequence[float]) -> list[int]:
        """Add one node for each entry as a child of the deepest level.

        Args:
            parents: index of the parent of each new node, all of the same depth.
            tokens: token id of each new node; siblings must differ.
            log_probs: log-probability of the path from the root to each new node.

        Returns:
            The indices of the new nodes.

        Raises:
            ValueError: the nodes exceed the budget, lie on different levels, or repeat a sibling.
        """
        if len(set(zip(parents, tokens, strict=True))) != len(parents):
            raise ValueError("siblings must carry different tokens")
        added = self.add_nodes(parents)
        self.set_tokens(tokens, log_probs)
        return added

    def add_nodes(self, parents: Sequence[int]) -> list[int]:
        """Add nodes as :meth:`add_level` does, but leave their tokens to :meth:`set_tokens`."""
        first = len(self)
        added = list(range(first, first + len(parents)))
        if len(added) > self.capacity_left:
            raise ValueError(f"{len(added)} nodes do not fit into a tree with capacity for {self.capacity_left}")
        if any(self.depths[parent] != self.depth for parent in parents):
            raise ValueError("children can only be added to the deepest level")
        self._paths += [self._paths[parent] | 1 << node for parent, node in zip(parents, added, strict=True)]
        depth = self.depth + 1
        self.parents += parents
        self.depths += [depth] * len(added)
        return added

    def set_tokens(self, tokens: Sequence[int], log_probs: Sequence[float]) -> None:
        """Set the tokens and path log-probabilities of the nodes that :meth:`add_nodes` added, in order.

        Siblings must carry different tokens.
        """
        first = len(self.tokens)
        keys = zip(self.parents[first:], tokens, strict=True)
        self._children.update(zip(keys, range(first, len(self)), strict=True))
        self.tokens += tokens
        self.log_probs += log_probs

    def child(self, node: int, token: int) -> int | None:
        """Return the child of a node that carries a token; None without one."""
        return self._children.get((node, token))

    def accepted_path(self, predictions: Sequence[int]) -> list[int]:
        """Walk from the root while a child carries the token that the target predicts.

        Args:
            predictions: the target's next token after each node; -1 where no token follows.

        Returns:
            Indices of the accepted nodes below the root, in order of depth; possibly empty.
        """
        if self.is_chain:
            right = map(eq, self.tokens[1:], predictions)
            return [node for node, _ in enumerate(takewhile(bool, right), start=1)]
        path: list[int] = []
        node = 0
        while (child := self._children.get((node, predictions[node]))) is not None:
            path.append(child)
            node = child
        return path

    def path_along(self, tokens: Sequence[int]) -> list[int]:
        """Return the nodes from the root down that carry the first of ``tokens``, as far as the tree has them.

        Args:
            tokens: token ids after the root.
        """
        path: list[int] = []
        node = 0
        for token in tokens:
            child = self._children.get((node, token))
            if child is None:
                break
            path.append(child)
            node = child
        return path


def mask_from_bits(rows: Sequence[int], width: int) -> torch.Tensor:
    """Return a boolean [rows, width] whose entry ``column`` of each row is that bit of its integer.

    Args:
        rows: integers below ``2 ** width``.
        width: number of columns.
    """
    digits = "".join([f"{row:0{width}b}"[::-1] for row in rows])
    return torch.frombuffer(bytearray(digits, "ascii"), dtype=torch.uint8).view(len(rows), width).eq(ord("1"))
