"""SAM decoding: the longest match of any length, found by a suffix automaton.

Source: "SAM Decoding: Speculative Decoding via Suffix Automaton" (Hu et al., 2024). The automaton is the online
construction of Blumer et al. (1985): amortized constant time for each token.
"""

from collections.abc import Sequence

from dynatree.drafting.free.base import FreeDrafter, Row
from dynatree.drafting.free.candidates import chain
from dynatree.tree import TokenTree

MAX_TOKENS = 65_536  # of the text in an automaton; the older half is dropped beyond
MIN_MATCH = 5  # tokens of a match that is preferred to the other drafter, as in the source


class SuffixAutomaton:
    """All substrings of a text, and the longest end of the text that also occurs earlier.

    Args:
        max_tokens: when the text grows beyond, the automaton is built again from its newer half.

    Attributes:
        text: the tokens.
        match_length: tokens at the end of the text that also occur earlier.
    """

    def __init__(self, max_tokens: int = MAX_TOKENS):
        self.text: list[int] = []
        self.match_length = 0
        self._max_tokens = max_tokens
        self._clear()

    def _clear(self) -> None:
        self._next: list[dict[int, int]] = [{}]
        self._link = [-1]
        self._length = [0]
        self._first_end = [0]  # tokens up to the end of the first occurrence
        self._last = 0
        self._match = 0
        self.match_length = 0

    def extend(self, token: int) -> None:
        """Append a token in amortized constant time."""
        if len(self.text) >= self._max_tokens:
            kept = self.text[len(self.text) // 2 :]
            self._clear()
            self.text = []
            for old in kept:
                self.extend(old)
        self._advance_match(token)
        self.text.append(token)
        self._add(token)
        while self.match_length <= self._length[self._link[self._match]] and self._match:
            self._match = self._link[self._match]  # a split moved the match to a state of its own

    def continuation(self, count: int) -> list[int]:
        """Return up to ``count`` tokens after the first occurrence of the longest match; none without a match."""
        if not self.match_length:
            return []
        end = self._first_end[self._match]
        return self.text[end : end + count]

    def _advance_match(self, token: int) -> None:
        state, length = self._match, self.match_length
        while state and token not in self._next[state]:
            state = self._link[state]
            length = self._length[state]
        following = self._next[state].get(token)
        self._match, self.match_length = (0, 0) if following is None else (following, length + 1)

    def _add(self, token: int) -> None:
        state = self._new_state(self._length[self._last] + 1, {}, len(self.text))
        place = self._last
        while place >= 0 and token not in self._next[place]:
            self._next[place][token] = state
            place = self._link[place]
        self._last = state
        if place < 0:
            self._link[state] = 0
            return
        target = self._next[place][token]
        if self._length[target] != self._length[place] + 1:
            target = self._split(place, token, target)
        self._link[state] = target

    def _split(self, place: int, token: int, target: int) -> int:
        """Return a copy of ``target`` for the shorter substrings, which now also end here."""
        copy = self._new_state(self._length[place] + 1, dict(self._next[target]), self._first_end[target])
        self._link[copy] = self._link[target]
        while place >= 0 and self._next[place].get(token) == target:
            self._next[place][token] = copy
            place = self._link[place]
        self._link[target] = copy
        return copy

    def _new_state(self, length: int, following: dict[int, int], first_end: int) -> int:
        self._next.append(following)
        self._link.append(0)
        self._length.append(length)
        self._first_end.append(first_end)
        return len(self._length) - 1


class SamDecoding:
    """A chain that continues the longest match in the text, or the tree of another drafter if the match is short.

    The automaton is that of the request; the source's second automaton over a corpus has no corpus here.

    Args:
        other: drafts where the match is shorter than ``min_match``; None for chains alone.
        min_match: tokens of a match that is preferred to ``other``.
        max_tokens: limit of the automaton's text.
    """

    def __init__(self, other: FreeDrafter | None = None, min_match: int = MIN_MATCH, max_tokens: int = MAX_TOKENS):
        self.other = other
        self.min_match = min_match
        self.max_tokens = max_tokens
        self._automaton = SuffixAutomaton(max_tokens)

    def begin_request(self) -> None:
        self._automaton = SuffixAutomaton(self.max_tokens)
        if self.other:
            self.other.begin_request()

    def observe(self, tokens: Sequence[int], rows: Sequence[Row] | None = None) -> None:
        for token in tokens:
            self._automaton.extend(token)
        if self.other:
            self.other.observe(tokens, rows)

    def draft(self, nodes: int) -> TokenTree:
        automaton = self._automaton
        if self.other and automaton.match_length < self.min_match:
            return self.other.draft(nodes)
        return chain(automaton.text[-1], automaton.continuation(nodes), nodes)
