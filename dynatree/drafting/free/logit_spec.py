"""LogitSpec: runners-up of the last logits as successors of the token that won, each continued by retrieval.

Source: "LogitSpec: Accelerating Retrieval-based Speculative Decoding via Next Next Token Speculation" (Liu et al.,
2025). The logits that chose the last token also hold guesses of the token after it.
"""

from collections.abc import Sequence

from dynatree.drafting.free.base import Row
from dynatree.drafting.free.candidates import Candidates
from dynatree.tree import TokenTree

MAX_NGRAM = 3
CONTINUATION = 8  # tokens that a retrieved path is long at most
SIBLINGS = 31  # runners-up that are tried


class LogitSpec:
    """A tree of the retrieved continuation and of the runners-up of the last logits. Nothing survives a request.

    Half of the nodes at most hold runners-up without a continuation, so that retrieved paths find room.
    """

    def __init__(self) -> None:
        self.begin_request()

    def begin_request(self) -> None:
        self._text: list[int] = []
        self._latest: dict[tuple[int, ...], int] = {}  # n-gram -> end of its latest occurrence with a successor
        self._row: Row = ((), ())

    def observe(self, tokens: Sequence[int], rows: Sequence[Row] | None = None) -> None:
        text = self._text
        for token in tokens:
            for n in range(1, min(MAX_NGRAM, len(text)) + 1):
                self._latest[tuple(text[-n:])] = len(text)
            text.append(token)
        self._row = rows[-1] if rows else ((), ())

    def draft(self, nodes: int) -> TokenTree:
        text = self._text
        root = text[-1]
        found = Candidates(root)
        found.add_path(0, self._retrieve(text[-MAX_NGRAM:], CONTINUATION), 0.5, 0.8)
        bare = 0
        for rank, token in enumerate(self._row[0][1 : SIBLINGS + 1], start=1):
            continuation = self._retrieve([*text[1 - MAX_NGRAM :], token], CONTINUATION - 1, shortest=2)
            if not continuation and bare > nodes // 2:
                continue
            bare += not continuation
            found.add_path(found.add(0, token, 0.3 / rank), continuation, 0.6, 0.8)
        return found.tree(nodes)

    def _retrieve(self, context: list[int], count: int, shortest: int = 1) -> list[int]:
        """Return the tokens after the latest occurrence of the longest known end of ``context``."""
        for n in range(len(context), shortest - 1, -1):
            end = self._latest.get(tuple(context[-n:]))
            if end is not None:
                return self._text[end : end + count]
        return []
