"""SuffixDecoding: trees of frequent continuations, from the request and from all past outputs.

Source: "SuffixDecoding: Extreme Speculative Decoding for Emerging AI Applications" (Oliaro et al., 2025). One tree of
suffixes holds the request, another one past outputs. Of all matches in both, the continuation with the largest sum of
estimated probabilities is drafted; its size grows with the length of the match.
"""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

from dynatree.drafting.free.base import Row
from dynatree.drafting.free.candidates import Candidates
from dynatree.drafting.free.suffix_tree import Cursor, SuffixTree
from dynatree.tree import TokenTree

DEPTH = 64
MAX_TOKENS = 65_536  # of past outputs


class SuffixDecoding:
    """Continuations of every end of the text that occurs earlier, in the request or in a past output.

    Past outputs survive requests, up to ``max_tokens``; prompts do not.

    Args:
        factor: nodes that are drafted for each token of a match.
        min_probability: least probability of a drafted path, relative frequencies multiplied.
        depth: tokens of the longest match and its continuation.
        max_tokens: limit of the past outputs.
    """

    def __init__(
        self, factor: float = 4.0, min_probability: float = 0.1, depth: int = DEPTH, max_tokens: int = MAX_TOKENS
    ):
        self.factor = factor
        self.min_probability = min_probability
        self._depth, self._max_tokens = depth, max_tokens
        self._past = SuffixTree(depth, max_tokens)
        self._output: list[int] = []
        self.begin_request()

    def begin_request(self) -> None:
        for token in self._output:
            self._past.extend(token)
        self._past.end_text()
        self._output = []
        self._request = SuffixTree(self._depth, self._max_tokens)
        self._matches: list[tuple[Cursor, int]] = []  # in past outputs: a substring and its length
        self._last = 0

    def observe(self, tokens: Sequence[int], rows: Sequence[Row] | None = None) -> None:
        past = self._past
        for token in tokens:
            self._request.extend(token)
            longer = [
                (past.advance(cursor, token), length + 1)
                for cursor, length in [*self._matches, ((past.root, 0), 0)]
                if length + 1 < self._depth
            ]
            self._matches = [(cursor, length) for cursor, length in longer if cursor is not None]
        self._last = tokens[-1]
        if rows is not None:
            self._output += tokens

    def draft(self, nodes: int) -> TokenTree:
        best, best_sum = Candidates(self._last), 0.0
        for tree, cursor, length in self._all_matches():
            found, total = self._expand(tree, cursor, min(nodes, int(self.factor * length)))
            if total > best_sum:
                best, best_sum = found, total
        return best.tree(nodes)

    def _all_matches(self) -> Iterator[tuple[SuffixTree, Cursor, int]]:
        for node, length in self._request.open:
            yield self._request, (node, node.place), length
        for cursor, length in self._matches:
            yield self._past, cursor, length

    def _expand(self, tree: SuffixTree, start: Cursor, count: int) -> tuple[Candidates, float]:
        """Return the ``count`` most probable nodes below a match, and the sum of their probabilities."""
        found, total = Candidates(self._last), 0.0
        heap: list[tuple[float, int, int, int, Cursor]] = []  # -probability, order, parent, token, substring
        order = 0

        def push(parent: int, probability: float, cursor: Cursor) -> None:
            nonlocal order
            for token, share, longer in tree.following(cursor):
                if probability * share >= self.min_probability:
                    order += 1
                    heappush(heap, (-probability * share, order, parent, token, longer))

        push(0, 1.0, start)
        while heap and len(found) <= count:
            negative, _, parent, token, cursor = heappop(heap)
            total -= negative
            push(found.add(parent, token, -negative), -negative, cursor)
        return found, total
