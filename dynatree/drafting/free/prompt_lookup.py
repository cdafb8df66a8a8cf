"""Prompt lookup as in transformers: the continuation of the earliest match of the last tokens, as a chain.

Source: prompt lookup decoding (Saxena, 2023), as ``PromptLookupCandidateGenerator`` of transformers defines it. The
longest n-gram that occurs earlier decides, and its first occurrence in the text is continued.
"""

from collections.abc import Collection, Sequence

from dynatree.drafting.free.base import Row
from dynatree.drafting.free.candidates import chain
from dynatree.tree import TokenTree


class PromptLookup:
    """A chain that continues the first occurrence of the last tokens. Nothing survives a request.

    Each token takes the time of ``max_ngram`` table entries, so no draft searches the text.

    Args:
        max_ngram: tokens of the longest match, ``max_matching_ngram_size`` in transformers.
        eos_token_ids: ids that end a chain and are not drafted.
    """

    def __init__(self, max_ngram: int = 2, eos_token_ids: Collection[int] = ()):
        self.max_ngram = max_ngram
        self.eos_token_ids = frozenset(eos_token_ids)
        self.begin_request()

    def begin_request(self) -> None:
        self._text: list[int] = []
        self._first: dict[tuple[int, ...], int] = {}  # n-gram -> end of its first occurrence

    def observe(self, tokens: Sequence[int], rows: Sequence[Row] | None = None) -> None:
        text = self._text
        for token in tokens:
            text.append(token)
            for n in range(1, min(self.max_ngram, len(text)) + 1):
                self._first.setdefault(tuple(text[-n:]), len(text))

    def draft(self, nodes: int) -> TokenTree:
        return chain(self._text[-1], self._continuation(nodes), nodes)

    def _continuation(self, nodes: int) -> list[int]:
        text = self._text
        for n in range(min(self.max_ngram, len(text) - 1), 0, -1):
            end = self._first[tuple(text[-n:])]
            if end < len(text):
                found = text[end : end + nodes]
                stops = [place for place, token in enumerate(found) if token in self.eos_token_ids]
                return found[: stops[0]] if stops else found
        return []
