"""Drafts without a model: successors looked up in the text and in earlier predictions of the target."""

from dynatree.policies.calibration import Proposal

MATCH_CONFIDENCE = (0.1, 0.3, 0.5, 0.65)  # initial confidence of a match of 1, 2, ... tokens
PAIR_SHARE, TOKEN_SHARE = 0.7, 0.4  # share of an old probability that holds after the same pair or token


class NGramLookup:
    """Successors of the latest tokens at their earlier occurrences in the prompt and the output.

    The longest match comes first, then the latest (prompt lookup decoding, Saxena 2023). A drafted path is part of the
    context, so a match continues along it.
    """

    name = "ngram"
    max_length = len(MATCH_CONFIDENCE)

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._successors: dict[tuple[int, ...], dict[int, None]] = {}  # n-gram -> its successors, the latest last

    def read(self, tokens: list[int]) -> None:
        """Append tokens of the prompt or of the output."""
        for token in tokens:
            for n in range(1, min(self.max_length, len(self._tokens)) + 1):
                found = self._successors.setdefault(tuple(self._tokens[-n:]), {})
                found.pop(token, None)
                found[token] = None
            self._tokens.append(token)

    def propose(self, path: list[int], count: int) -> list[Proposal]:
        """Return at most ``count`` successors of the text followed by the drafted ``path``."""
        context = (self._tokens[-self.max_length :] + path)[-self.max_length :]
        proposals: dict[int, Proposal] = {}
        for n in range(len(context), 0, -1):
            for token in reversed(self._successors.get(tuple(context[-n:]), {})):
                if len(proposals) == count:
                    return list(proposals.values())
                if token not in proposals:
                    confidence = MATCH_CONFIDENCE[n - 1] / (1 + len(proposals))
                    proposals[token] = Proposal(token, f"{self.name}-{n}", len(proposals), confidence)
        return list(proposals.values())

    def observe(self, context: tuple[int, int], tokens: list[int], probabilities: list[float]) -> None:
        """Ignore the target's predictions; only emitted tokens count."""


class Recycling:
    """The target's most likely successors at the latest occurrence of a token, or of two in a row.

    Token Recycling (Luo et al., 2024) stores them by the last token. Stored by the last two, they hold more often.
    """

    name = "recycling"

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._table: dict[tuple[int, ...], tuple[list[int], list[float]]] = {}

    def read(self, tokens: list[int]) -> None:
        """Append tokens of the prompt or of the output."""
        self._tokens = (self._tokens + tokens)[-2:]

    def propose(self, path: list[int], count: int) -> list[Proposal]:
        """Return at most ``count`` successors of the text followed by the drafted ``path``."""
        context = tuple((self._tokens + path)[-2:])
        for key, share in ((context, PAIR_SHARE), (context[-1:], TOKEN_SHARE)):
            if key in self._table:
                found = zip(*self._table[key], strict=True)
                return [
                    Proposal(token, f"{self.name}-{len(key)}", rank, share * probability)
                    for rank, (token, probability) in enumerate(found)
                ][:count]
        return []

    def observe(self, context: tuple[int, int], tokens: list[int], probabilities: list[float]) -> None:
        """Store the target's most likely successors of a verified node and the token before it."""
        self._table[context] = self._table[context[-1:]] = (tokens, probabilities)


LOOKUPS: dict[str, type[NGramLookup] | type[Recycling]] = {lookup.name: lookup for lookup in (NGramLookup, Recycling)}
