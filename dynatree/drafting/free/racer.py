"""RACER: a copy-logit tree, merged with the continuations that an automaton of n-grams has seen.

Source: "RACER: Retrieval-Augmented Contextual Rapid Speculative Decoding" (Zhang et al., 2026, arXiv 2604.14885).
The logits at the latest occurrence of a token predict its next successor too. An Aho-Corasick automaton of n-grams of
up to ten tokens, bounded by evicting the least recently used, adds retrieval. The trust in a match by its length is
an estimate of this project.
"""

from collections import OrderedDict
from collections.abc import Sequence
from heapq import heappop, heappush
from math import exp

from dynatree.drafting.free.base import Row
from dynatree.drafting.free.candidates import Candidates
from dynatree.tree import TokenTree

NGRAM = 10
MAX_NGRAMS = 10_000
COPIES = 8  # most likely tokens that are kept for each token
COPY_SHARE = 0.7  # share of an earlier probability that holds at the next occurrence
MATCH_SHARES = (0.2, 0.45, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92)  # trust in a match of 1, 2, ... tokens


class Ngrams:
    """Successors of n-grams, the least recently used of which are evicted.

    A table by n-gram finds what an Aho-Corasick automaton finds by failure links: the longest known end of a text.

    Args:
        size: n-grams that are kept.
    """

    def __init__(self, size: int = MAX_NGRAMS):
        self._size = size
        self._successors: OrderedDict[tuple[int, ...], dict[int, int]] = OrderedDict()

    def add(self, context: tuple[int, ...], token: int) -> None:
        """Count a successor of an n-gram."""
        found = self._successors.setdefault(context, {})
        found[token] = found.get(token, 0) + 1
        self._successors.move_to_end(context)
        if len(self._successors) > self._size:
            self._successors.popitem(last=False)

    def longest(self, context: tuple[int, ...]) -> tuple[int, dict[int, int]]:
        """Return the length of the longest known end of ``context`` and its successors with their counts."""
        for n in range(len(context), 0, -1):
            found = self._successors.get(context[-n:])
            if found:
                self._successors.move_to_end(context[-n:])
                return n, found
        return 0, {}


class Racer:
    """The most probable paths of copied logits and of retrieved n-grams. Both survive requests, within their limits."""

    def __init__(self) -> None:
        self._copies: dict[int, Row] = {}
        self._ngrams = Ngrams()
        self.begin_request()

    def begin_request(self) -> None:
        self._latest: tuple[int, ...] = ()

    def observe(self, tokens: Sequence[int], rows: Sequence[Row] | None = None) -> None:
        for place, token in enumerate(tokens):
            latest = self._latest
            for n in range(1, len(latest) + 1):
                self._ngrams.add(latest[-n:], token)
            if rows is not None and latest:
                ids, log_probs = rows[place]
                self._copies[latest[-1]] = ids[:COPIES], log_probs[:COPIES]
            self._latest = (*latest, token)[1 - NGRAM :]

    def draft(self, nodes: int) -> TokenTree:
        found = Candidates(self._latest[-1])
        heap: list[tuple[float, int, int, int, tuple[int, ...]]] = []  # -score, order, parent, token, context
        order = 0

        def push(parent: int, score: float, context: tuple[int, ...]) -> None:
            nonlocal order
            for token, share in self._successors(context):
                order += 1
                heappush(heap, (-score * share, order, parent, token, (*context, token)[1 - NGRAM :]))

        push(0, 1.0, self._latest)
        while heap and len(found) <= nodes:
            negative, _, parent, token, context = heappop(heap)
            push(found.add(parent, token, -negative), -negative, context)
        return found.tree(nodes)

    def _successors(self, context: tuple[int, ...]) -> list[tuple[int, float]]:
        """Return successors and their estimated probabilities; of two estimates for a token the larger one."""
        ids, log_probs = self._copies.get(context[-1], ((), ()))
        shares = {token: COPY_SHARE * exp(log_prob) for token, log_prob in zip(ids, log_probs, strict=True)}
        length, counts = self._ngrams.longest(context)
        total = sum(counts.values())
        for token, count in counts.items():
            shares[token] = max(shares.get(token, 0.0), MATCH_SHARES[length - 1] * count / total)
        return list(shares.items())
