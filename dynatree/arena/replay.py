"""Replay of free drafters on recorded outputs."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dynatree.arena.recording import RecordedOutput
from dynatree.drafting.free.base import FreeDrafter, Row
from dynatree.latency.cost_model import CostModel


@dataclass(frozen=True)
class Replay:
    """The rounds in which a drafter would have emitted a recorded output.

    Attributes:
        output: the output.
        passes: new tokens of each verifying forward pass, and the cache entries before it.
        emitted: tokens of each round.
        host_seconds: time of the drafter, over all rounds.
    """

    output: RecordedOutput
    passes: list[tuple[int, int]]
    emitted: list[int]
    host_seconds: float

    def seconds(self, costs: CostModel) -> float:
        """Return the seconds of the forward passes after prefill; host time is not included."""
        return sum(costs(new, entries) for new, entries in self.passes)

    def plain_seconds(self, costs: CostModel) -> float:
        """Return the seconds of the forward passes of plain decoding after prefill."""
        before = len(self.output.prompt)
        return sum(costs(1, before + done) for done in range(sum(self.emitted)))


def replay(
    drafter: FreeDrafter,
    nodes: int,
    outputs: Iterable[RecordedOutput],
    clock: Callable[[], float] = time.perf_counter,
) -> list[Replay]:
    """Return the rounds of a drafter on recorded outputs, one request after the other.

    Greedy decoding emits the recorded tokens whatever is drafted, so the target is not needed. The rows of rejected
    nodes are not recorded: a drafter that learns from them learns less than in use.

    Args:
        drafter: keeps what it remembers from one output to the next.
        nodes: maximum number of nodes of a tree.
        outputs: in the order of the requests.
        clock: returns the current time in seconds.
    """
    return [_replay_one(drafter, nodes, output, clock) for output in outputs if output.tokens]


def _replay_one(drafter: FreeDrafter, nodes: int, output: RecordedOutput, clock: Callable[[], float]) -> Replay:
    tokens, rows = output.tokens, _rows(output)
    passes: list[tuple[int, int]] = []
    emitted: list[int] = []
    started = clock()
    drafter.begin_request()
    drafter.observe(output.prompt)
    drafter.observe(tokens[:1], rows[:1])  # prefill emits the first token
    seconds, done = clock() - started, 1
    while done < len(tokens):
        started = clock()
        tree = drafter.draft(nodes)
        seconds += clock() - started
        path = tree.path_along(tokens[done:])
        end = min(done + len(path) + 1, len(tokens))
        passes.append((len(tree), len(output.prompt) + done - 1))
        emitted.append(end - done)
        started = clock()
        drafter.observe(tokens[done:end], rows[done:end])
        seconds += clock() - started
        done = end
    return Replay(output, passes, emitted, seconds)


def _rows(output: RecordedOutput) -> Sequence[Row]:
    return list(zip(output.row_ids.tolist(), output.row_log_probs.tolist(), strict=True))
