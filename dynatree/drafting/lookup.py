"""Free drafts: successors looked up in what was read and in what the target said before."""

from dynatree.policies.calibration import Proposal

MATCH_CONFIDENCE = (0.1, 0.3, 0.5, 0.65)  # of a match of one, two, ... tokens, before anything was observed
PAIR_SHARE, TOKEN_SHARE = 0.7, 0.4  # of an old probability that is expected to hold in a new context


class NGramLookup:
    """Successors of the latest tokens where they occurred before, in the prompt or the output.

    The longest match comes first, then the latest (prompt lookup decoding, Saxena 2023). A drafted path is part of
    the context, so a match goes on along it.
    """

    name = "ngram"
    longest = len(MATCH_CONFIDENCE)

    def __init__(self):
        self._tokens: list[int] = []
        self._successors: dict[tuple, dict[int, None]] = {}  # n-gram -> its successors, the latest last

    def read(self, tokens: list[int]) -> None:
        """Take in tokens of the prompt or of the output."""
        for token in tokens:
            for n in range(1, min(self.longest, len(self._tokens)) + 1):
                found = self._successors.setdefault(tuple(self._tokens[-n:]), {})
                found.pop(token, None)
                found[token] = None
            self._tokens.append(token)

    def propose(self, path: list[int], most: int) -> list[Proposal]:
        """At most ``most`` successors of what was read, followed by the drafted ``path``."""
        context = (self._tokens[-self.longest :] + path)[-self.longest :]
        proposals: dict[int, Proposal] = {}
        for n in range(len(context), 0, -1):
            for token in reversed(self._successors.get(tuple(context[-n:]), {})):
                if len(proposals) == most:
                    return list(proposals.values())
                if token not in proposals:
                    confidence = MATCH_CONFIDENCE[n - 1] / (1 + len(proposals))
                    proposals[token] = Proposal(token, f"{self.name}-{n}", len(proposals), confidence)
        return list(proposals.values())

    def observe(self, context: tuple[int, int], tokens: list[int], probabilities: list[float]) -> None:
        """Nothing is learnt from what the target predicts beside the output."""


class Recycling:
    """The target's own most likely successors the last time it saw a token, or two in a row.

    Token Recycling (Luo et al., 2024) keeps them by the last token; by the last two they hold more often.
    """

    name = "recycling"

    def __init__(self):
        self._tokens: list[int] = []
        self._table: dict[tuple, tuple[list[int], list[float]]] = {}

    def read(self, tokens: list[int]) -> None:
        """Take in tokens of the prompt or of the output."""
        self._tokens = (self._tokens + tokens)[-2:]

    def propose(self, path: list[int], most: int) -> list[Proposal]:
        """At most ``most`` successors of what was read, followed by the drafted ``path``."""
        context = tuple((self._tokens + path)[-2:])
        for key, share in ((context, PAIR_SHARE), (context[-1:], TOKEN_SHARE)):
            if key in self._table:
                found = zip(*self._table[key], strict=True)
                return [
                    Proposal(token, f"{self.name}-{len(key)}", rank, share * probability)
                    for rank, (token, probability) in enumerate(found)
                ][:most]
        return []

    def observe(self, context: tuple[int, int], tokens: list[int], probabilities: list[float]) -> None:
        """Keep the target's most likely successors of ``context``, a verified node and what precedes it."""
        self._table[context] = self._table[context[-1:]] = (tokens, probabilities)


LOOKUPS = {lookup.name: lookup for lookup in (NGramLookup, Recycling)}
