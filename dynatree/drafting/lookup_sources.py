"""The lookups of a request, and the host time that each takes."""

from collections.abc import Callable, Sequence

from dynatree.drafting.base import Ranked
from dynatree.drafting.lookup import CONTEXT, LOOKUPS, Lookup
from dynatree.drafting.memory import Memory, MemoryLookup
from dynatree.drafting.table_lookup import TableLookup
from dynatree.models.ngram_table import NGramTable
from dynatree.policies.calibration import TABLE, Proposal
from dynatree.policies.cost_aware import CostAware
from dynatree.tree import TokenTree


class LookupSources:
    """The lookups of a request; each is used in the rounds in which it is expected to pay.

    Args:
        policy: keeps the accounts of the sources.
        clock: returns the current time in seconds.
        memory: of past outputs; None without one.
        table: of the target; None without one.

    Attributes:
        context: the last tokens of the text.
        recycled: ranked successors of each verified node that :meth:`observe` takes in this round.
    """

    def __init__(
        self,
        policy: CostAware,
        clock: Callable[[], float],
        memory: Memory | None = None,
        table: NGramTable | None = None,
    ):
        self.context: tuple[int, ...] = ()
        self.recycled = 0
        self._policy = policy
        self._clock = clock
        self._lookups: list[Lookup] = [LOOKUPS[name]() for name in policy.sources if name in LOOKUPS]
        self._past = None if memory is None else MemoryLookup(memory)
        if self._past:
            self._lookups.append(self._past)
        if table and TABLE in policy.sources:
            self._lookups.append(TableLookup(table))
        self._used: list[Lookup] = []
        self._seconds: dict[str, float] = {}  # of each used lookup in this round
        self._known: dict[tuple[int, ...], list[Proposal]] = {}  # proposals of this round by context

    def read(self, tokens: Sequence[int]) -> None:
        """Append tokens of the prompt or of the output."""
        for lookup in self._lookups:
            lookup.read(tokens)
        self.context = (*self.context, *tokens[-CONTEXT:])[-CONTEXT:]

    def begin_round(self, rate: float) -> None:
        """Start a round.

        Args:
            rate: recent tokens per second.
        """
        self._used = [lookup for lookup in self._lookups if self._policy.uses(lookup.name, rate)]
        self._seconds = dict.fromkeys([lookup.name for lookup in self._used], 0.0)
        self._known.clear()
        self.recycled = self._policy.candidates if any(lookup.recycles for lookup in self._used) else 0

    @property
    def in_use(self) -> bool:
        """True if a lookup is used in this round."""
        return bool(self._used)

    def propose(self, contexts: list[tuple[int, ...]]) -> list[list[Proposal]]:
        """Return the proposals of all used lookups after each context."""
        known, count, clock = self._known, self._policy.candidates, self._clock
        new = [context for context in dict.fromkeys(contexts) if context not in known]
        for context in new:
            known[context] = []
        started = clock()
        for lookup in self._used:
            for context in new:
                known[context] += lookup.propose(context, count)
            ended = clock()
            self._seconds[lookup.name] += ended - started
            started = ended
        return [known[context] for context in contexts]

    def observe(self, tree: TokenTree, path: list[int], ranked: Ranked, seconds: float) -> None:
        """Pass the target's ranked successors of each verified node to the lookups that use them.

        Args:
            tree: the verified tree.
            path: its accepted nodes.
            ranked: tokens and log-probabilities of the successors of each node; nodes without any are left out.
            seconds: time of ranking them.
        """
        before_root = self.context[max(len(self.context) - 2, 0)]
        tokens = tree.tokens
        contexts = [(tokens[parent], token) for parent, token in zip(tree.parents, tokens, strict=True)]
        contexts[0] = (before_root, tokens[0])
        recycling = [lookup for lookup in self._used if lookup.recycles]
        for lookup in recycling:
            started = self._clock()
            for context, successors, log_probs in zip(contexts, *ranked, strict=True):
                if successors:
                    lookup.observe(context, successors, log_probs)
            last = path[-1] if path else 0
            lookup.observe_root(ranked[0][last], ranked[1][last])
            self._seconds[lookup.name] += seconds / len(recycling) + self._clock() - started

    def close_round(self, emitted: dict[str, float]) -> None:
        """Record the yield of each used lookup.

        Args:
            emitted: see :meth:`dynatree.policies.source_account.SourceAccount.observe`, by source.
        """
        for name, seconds in self._seconds.items():
            self._policy.observe_source(name, emitted.get(name, 0.0), seconds)

    def close(self, emitted: list[int]) -> None:
        """Add the output of the request to the memory, if there is one."""
        if self._past:
            self._past.close(emitted)
