"""Memory of past outputs, which later requests to the same pair look up.

SuffixDecoding (Oliaro et al., 2025) continues past outputs, and Token Recycling (Luo et al., 2024) keeps its table from
one request to the next. A memory has both tables, each with a limit. It holds tokens of outputs alone, and none exists
unless a request asks for one.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeVar

from dynatree.drafting.lookup import CONTEXT, NGramLookup, Predictions, match_lengths, recycled, slots_of
from dynatree.models.pair import ModelPair
from dynatree.policies.calibration import MATCH_LENGTHS, MEMORY, Proposal

SUCCESSORS = 4  # latest successors that an n-gram keeps
PAIR_SHARE, TOKEN_SHARE = 0.5, 0.3  # share of an old probability that holds after the same pair or token
MATCH_SLOTS = [slots_of(f"memory-{n}") for n in MATCH_LENGTHS]
TOKEN_SLOTS, PAIR_SLOTS = slots_of("memory-token"), slots_of("memory-pair")

Value = TypeVar("Value")


class Memory:
    """N-grams of past outputs with their successors, and the target's predictions after tokens of past outputs.

    An n-gram or a token that occurs in an output moves to the end of its table, and the entries at the front, the
    least recently seen, are evicted.

    Args:
        limit: entries of each table.

    Attributes:
        successors: n-gram -> its successors, the latest last.
        predictions: one or two tokens -> the most likely tokens after them.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.successors: OrderedDict[tuple[int, ...], dict[int, None]] = OrderedDict()
        self.predictions: OrderedDict[tuple[int, ...], Predictions] = OrderedDict()

    def add(self, output: Sequence[int], predictions: Mapping[tuple[int, int], Predictions]) -> None:
        """Add the output of a request.

        Args:
            output: its tokens.
            predictions: the target's most likely tokens after two tokens; pairs that the output lacks are left out.
        """
        for place, token in enumerate(output):
            latest = tuple(output[max(place - CONTEXT, 0) : place])
            for n in reversed(match_lengths(latest)):  # an n-gram is evicted before its own end
                self._add_successor(latest[-n:], token)
            pair = (*latest[-1:], token)
            if len(pair) == 2 and pair in predictions:
                for context in (pair, (token,)):
                    self.predictions[context] = predictions[pair]
                    self.predictions.move_to_end(context)
        self.resize(self.limit)

    def resize(self, limit: int) -> None:
        """Set the limit, and evict the entries beyond it."""
        self.limit = limit
        _evict(self.successors, limit)
        _evict(self.predictions, limit)

    def _add_successor(self, context: tuple[int, ...], token: int) -> None:
        found = self.successors.setdefault(context, {})
        found.pop(token, None)
        found[token] = None
        if len(found) > SUCCESSORS:
            del found[next(iter(found))]
        self.successors.move_to_end(context)


def _evict(table: OrderedDict[tuple[int, ...], Value], limit: int) -> None:
    while len(table) > limit:
        table.popitem(last=False)


class MemoryLookup:
    """Proposals from past outputs; the output of the request itself is added when the request ends.

    Args:
        memory: of past outputs.
    """

    name: ClassVar[str] = MEMORY
    recycles: ClassVar[bool] = True

    def __init__(self, memory: Memory):
        self._memory = memory
        self._ngrams = NGramLookup(memory.successors, MATCH_SLOTS)
        self._predictions: dict[tuple[int, int], Predictions] = {}  # of this request

    def read(self, tokens: Sequence[int]) -> None:
        """Ignore the text; :meth:`close` takes the output."""

    def propose(self, context: tuple[int, ...], count: int) -> list[Proposal]:
        """Return at most ``count`` successors of each kind, see :meth:`dynatree.drafting.lookup.Lookup.propose`."""
        proposals, table = self._ngrams.propose(context, count), self._memory.predictions
        if found := table.get(context[-2:]):
            return proposals + recycled(found, PAIR_SHARE, PAIR_SLOTS, count)
        return proposals + recycled(table.get(context[-1:], ([], [])), TOKEN_SHARE, TOKEN_SLOTS, count)

    def observe(self, context: tuple[int, int], tokens: list[int], log_probs: list[float]) -> None:
        """Store the target's most likely successors of a verified node until the request ends."""
        self._predictions[context] = (tokens, log_probs)

    def observe_root(self, tokens: list[int], log_probs: list[float]) -> None:
        """Ignore the runners-up of the root; they concern this request alone."""

    def close(self, output: list[int]) -> None:
        """Add the output of the request to the memory."""
        self._memory.add(output, self._predictions)


def memory_of(pair: ModelPair, limit: int) -> Memory | None:
    """Return the memory of a pair, with at most ``limit`` entries in each table; None for a limit of 0.

    Every pair has its own memory. A smaller limit than that of the last request evicts entries.
    """
    if not limit:
        return None
    state = pair.state
    if state.memory is None:
        state.memory = Memory(limit)
    state.memory.resize(limit)
    return state.memory


def clear_memory(pair: ModelPair) -> None:
    """Delete the past outputs that a pair keeps."""
    pair.state.memory = None
