"""A key/value cache and an attention that give each node of a tree the attention of plain decoding, bit for bit.

In half precision, the kernel of attention rounds one query over a text differently from several queries under a mask.
Here each node is one query over consecutive entries, as in plain decoding: the text, followed by the path of the node.
Other layers run over all nodes at once.
"""

from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.cache_utils import Cache

from dynatree.errors import DynatreeError
from dynatree.models.kv_cache import TreeCache


class PathCache(TreeCache):
    """A :class:`TreeCache` for trees whose nodes attend one by one.

    The entries from ``length`` on hold the path of the current node. The entries of all nodes follow, in depth-first
    order. A tree of n nodes therefore needs up to 2 n entries beyond the text.
    """

    def __init__(self, num_layers: int, capacity: int):
        super().__init__(num_layers, capacity)
        self._depths: list[int] = []  # of the nodes, in depth-first order
        self._entries: dict[int, int] = {}  # the entry of each node

    def place(self, visible: torch.Tensor | None, nodes: int) -> list[int]:
        """Provide entries for a tree at the end of the text; return its nodes in depth-first order.

        Args:
            visible: boolean [nodes, nodes]: the nodes on the path to each node, inclusive. None for a chain.
            nodes: number of nodes, root included.
        """
        seen = torch.ones(nodes, nodes, dtype=torch.bool).tril() if visible is None else visible
        paths = [[node for node, on_path in enumerate(row) if on_path] for row in seen.tolist()]
        order = sorted(range(nodes), key=paths.__getitem__)
        self._depths = [len(paths[node]) - 1 for node in order]
        first = self.length + max(self._depths) + 1
        self._entries = {node: first + row for row, node in enumerate(order)}
        assert self.buffer is not None, "the prompt precedes any tree"
        if len(self.blocks) > 1 or len(self.blocks[0].buffers) > 1:
            raise DynatreeError("exact='strict' serves models whose layers hold states of one shape; leave out exact")
        if first + nodes > self.buffer.shape[-2]:
            self.grow(first + nodes)
        return order

    def keep(self, start: int, entries: list[int]) -> None:
        """Keep, of the tree whose root is at ``length``, only the nodes of ``entries``, and move them to ``start``.

        Args:
            start: entry behind the root, or the length of the text to keep no node.
            entries: the root's entry plus the number of each node on the accepted path.
        """
        super().keep(start, [self._entries[entry - self.length] for entry in entries])

    def attend(
        self, layer: int, first: int, queries: list[torch.Tensor], states: torch.Tensor, scaling: float | None
    ) -> list[torch.Tensor]:
        """Append the entries of consecutive nodes in depth-first order and return the attention of each.

        Args:
            layer: index of the layer.
            first: the first of the nodes.
            queries: [1, heads, 1, head_dim] for each node.
            states: keys and values [2, 1, kv_heads, nodes, head_dim].
            scaling: factor of the scores.

        Returns:
            [1, heads, 1, head_dim] for each node.
        """
        assert self.buffer is not None, "place() precedes attend()"
        held, length, count = self.buffer[2 * layer : 2 * layer + 2], self.length, len(queries)
        held.narrow(3, length + max(self._depths) + 1 + first, count).copy_(states)
        keys, values = held[0], held[1]
        depths, outputs = self._depths[first : first + count], []
        for row, depth in enumerate(depths):
            if row == 0 or depth <= depths[row - 1]:  # a branch: nodes that follow each other
                end = next((end for end in range(row + 1, count) if depths[end] <= depths[end - 1]), count)
                held.narrow(3, length + depth, end - row).copy_(states.narrow(3, row, end - row))
            key, value = (tensor.narrow(2, 0, length + depth + 1) for tensor in (keys, values))
            outputs.append(scaled_dot_product_attention(queries[row], key, value, scale=scaling, enable_gqa=True))
        return outputs


class Tree(NamedTuple):
    """The nodes of a tree and the cache of its text.

    Attributes:
        cache: holds the text before the root.
        ids, positions: [nodes] token ids and position ids.
        visible: boolean [nodes, nodes]: the nodes on the path to each node, inclusive; None for a chain.
    """

    cache: PathCache
    ids: torch.Tensor
    positions: torch.Tensor
    visible: torch.Tensor | None


class Nodes(NamedTuple):
    """Nodes of a tree that are consecutive in depth-first order.

    Attributes:
        cache: the cache of the tree.
        first: the first of the nodes.
        count: number of nodes.
    """

    cache: PathCache
    first: int
    count: int


class PathAttention(Cache):
    """The attention of a forward pass over nodes of one or several trees, and its cache, which passes states on.

    Args:
        parts: the nodes, in the order of the tokens of the forward pass.
    """

    def __init__(self, parts: list[Nodes]):
        super().__init__(layers=[])
        self._parts = parts

    def update(self, key_states, value_states, layer_idx, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        return key_states, value_states

    def attention(self, layer: int, query: Any, key: Any, value: Any, scaling: float | None) -> torch.Tensor:
        """Return the attention [1, n, heads, head_dim] of the nodes.

        Args:
            layer: index of the layer.
            query: [1, heads, n, head_dim].
            key, value: [1, kv_heads, n, head_dim], of the nodes alone.
            scaling: factor of the scores.
        """
        _, heads, n, head_dim = query.shape
        queries = list(query.transpose(1, 2).reshape(n, 1, heads, 1, head_dim))
        states = torch.stack((key, value))
        outputs, start = [], 0
        for cache, first, count in self._parts:
            own = states.narrow(3, start, count)
            outputs += cache.attend(layer, first, queries[start : start + count], own, scaling)
            start += count
        return torch.cat(outputs).reshape(1, n, heads, head_dim)
