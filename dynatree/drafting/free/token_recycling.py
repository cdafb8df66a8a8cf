"""Token Recycling: a tree over the target's earlier most likely tokens, whose table survives requests.

Source: "Turning Trash into Treasure: Accelerating Inference of Large Language Models with Token Recycling" (Luo et
al., 2024). A table holds the most likely successors of each token at its latest prediction; a static tree of ranks
reads it breadth first. The rank shares below are estimates of this project, not the source's tree.
"""

from collections.abc import Sequence
from functools import lru_cache
from heapq import heappop, heappush

from dynatree.drafting.free.base import Row
from dynatree.tree import TokenTree

RANK_SHARES = (0.5, 0.16, 0.09, 0.06, 0.04, 0.03, 0.02, 0.02)  # probability that the successor of a rank is right


@lru_cache(maxsize=16)
def ranks_tree(nodes: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return a tree of ranks, level by level: for each node the place of its parent in the level above and its rank.

    It has the ``nodes`` most probable paths by ``RANK_SHARES``.
    """
    heap: list[tuple[float, tuple[int, ...]]] = [(-share, (rank,)) for rank, share in enumerate(RANK_SHARES)]
    heap.sort()
    paths: list[tuple[int, ...]] = []
    while len(paths) < nodes:
        negative, path = heappop(heap)
        paths.append(path)
        for rank, share in enumerate(RANK_SHARES):
            heappush(heap, (negative * share, (*path, rank)))
    levels: list[tuple[tuple[int, int], ...]] = []
    above: list[tuple[int, ...]] = [()]
    for depth in range(1, max(map(len, paths), default=0) + 1):
        level = sorted(path for path in paths if len(path) == depth)
        levels.append(tuple((above.index(path[:-1]), path[-1]) for path in level))
        above = level
    return tuple(levels)


class TokenRecycling:
    """A static tree over a table of successors by token. The table survives requests.

    The table has at most one entry for each token of the vocabulary, so its memory is bounded. Rows of rejected nodes
    would add entries; a replay has none of them.
    """

    def __init__(self) -> None:
        self._successors: dict[int, Sequence[int]] = {}
        self._last = -1

    def begin_request(self) -> None:
        self._last = -1

    def observe(self, tokens: Sequence[int], rows: Sequence[Row] | None = None) -> None:
        for place, token in enumerate(tokens):
            if rows is not None and self._last >= 0:
                self._successors[self._last] = rows[place][0][: len(RANK_SHARES)]
            self._last = token

    def draft(self, nodes: int) -> TokenTree:
        tree, level = TokenTree(self._last, nodes), [0]
        for ranks in ranks_tree(nodes):
            places: dict[int, int] = {}  # place in the template -> node
            parents: list[int] = []
            tokens: list[int] = []
            for place, (above, rank) in enumerate(ranks):
                parent = level[above]
                successors = self._successors.get(tree.tokens[parent], ()) if parent >= 0 else ()
                if rank < len(successors):
                    places[place] = len(parents)
                    parents.append(parent)
                    tokens.append(successors[rank])
            if not parents:
                break
            added = tree.add_level(parents, tokens, [0.0] * len(parents))
            level = [added[places[place]] if place in places else -1 for place in range(len(ranks))]
        return tree
