"""Memory of past outputs: its limit, its privacy, its effect, and that acceptance does not rot."""

import itertools
import random

import numpy as np
import pytest

from dynatree import DynatreeError, ModelPair, clear_memory, generate
from dynatree.arena.recording import RecordedOutput
from dynatree.arena.replay import replay
from dynatree.drafting.free.merged import Merged
from dynatree.drafting.memory import SUCCESSORS, Memory, MemoryLookup, memory_of
from dynatree.latency.cost_model import CostModel
from dynatree.policies.calibration import MATCH_LENGTHS
from dynatree.policies.cost_aware import CostAware
from tests.support.models import disturbed, reference, tiny_model
from tests.support.simulated_clock import simulated_clock

PASS = CostModel((1, 64), (1,), [[1.0, 1.2]])
PROMPT = [4, 8, 15, 16]
LONG = 100_000


def filled(*outputs, limit=LONG) -> Memory:
    memory = Memory(limit)
    for output in outputs:
        memory.add(output, {pair: ([pair[1] + 1, 1], [-0.1, -2.5]) for pair in itertools.pairwise(output)})
    return memory


def test_a_past_output_is_continued():
    lookup = MemoryLookup(filled([1, 2, 3, 4, 5, 6, 7], [9, 3, 8]))
    assert [one.token for one in lookup.propose((1, 2, 3), 2)][:2] == [4, 8]
    assert [one.token for one in lookup.propose((77, 3), 4)] == [8, 4, 4, 1]  # two n-grams, two predictions
    assert lookup.propose((77,), 4) == []


def test_the_output_of_a_request_is_added_when_it_ends():
    memory = Memory(LONG)
    lookup = MemoryLookup(memory)
    lookup.observe((5, 6), [7], [-0.1])
    lookup.observe((50, 60), [70], [-0.1])  # drafted, but not emitted
    assert not memory.successors and not memory.predictions
    lookup.close([5, 6, 7])
    assert memory.predictions == {(5, 6): ([7], [-0.1]), (6,): ([7], [-0.1])}
    assert list(memory.successors) == [(5,), (5, 6), (6,)]


def test_the_limit_holds_and_the_entries_seen_longest_ago_are_evicted():
    memory = filled(limit=300)
    for start in range(0, 400, 20):
        memory.add([1, 2, 3, *range(start, start + 20)], {})
        assert len(memory.successors) <= 300
    assert (1, 2) in memory.successors and (3, 0) not in memory.successors
    for ngram in memory.successors:  # a lookup stops at the first length without a match
        assert all(ngram[-n:] in memory.successors for n in MATCH_LENGTHS if n < len(ngram))
    memory.resize(5)
    assert len(memory.successors) == 5


def test_an_ngram_keeps_its_latest_successors():
    memory = filled(*([1, token] for token in range(10, 20)))
    assert list(memory.successors[1,]) == list(range(20 - SUCCESSORS, 20))


def test_nothing_is_kept_by_default_and_prompts_never():
    pair = ModelPair(tiny_model("llama", 2))
    generate(pair, PROMPT, "cost_aware", 20, None)
    assert pair.state.memory is None
    emitted = set(generate(pair, PROMPT, "cost_aware", 20, None, memory=LONG).tokens)
    memory = pair.state.memory
    assert memory and memory.successors and memory.predictions
    assert {token for key in (*memory.successors, *memory.predictions) for token in key} <= emitted
    assert {token for found in memory.successors.values() for token in found} <= emitted
    clear_memory(pair)
    assert pair.state.memory is None


def test_every_pair_has_its_own_memory_also_under_one_policy():
    target, policy = tiny_model("llama", 2), CostAware(memory=LONG)
    first, second = ModelPair(target), ModelPair(target)
    generate(first, PROMPT, policy, 8, None)
    assert second.state.memory is None
    generate(second, PROMPT[:2], policy, 8, None)
    assert first.state.memory is not second.state.memory
    assert first.state.memory.successors != second.state.memory.successors
    assert memory_of(first, 3) is first.state.memory and len(first.state.memory.successors) == 3


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_a_repeated_request_needs_fewer_rounds_and_emits_the_same(kind):
    target = tiny_model(kind, 1, 512, 512)
    pair, rounds = ModelPair(target, disturbed(target, 0.05)), []
    expected = reference(target, PROMPT, 60, None)
    with simulated_clock(pair, PASS, CostModel((1, 64), (1,), [[0.5, 0.6]])):
        for _ in range(3):
            out = generate(pair, PROMPT, "cost_aware", 60, None, memory=LONG)
            assert out.tokens == expected
            rounds.append(out.stats.rounds)
    assert rounds[2] < 0.5 * rounds[0]


def test_a_wrong_limit_is_refused():
    with pytest.raises(DynatreeError, match="memory must be a whole number of at least 0"):
        generate(ModelPair(tiny_model("llama", 2)), PROMPT, "cost_aware", 4, memory=-1)


class Script:
    """Made-up outputs of one kind, or of none."""

    def __init__(self, seed: int, vocabulary: int):
        self.random, self.vocabulary = random.Random(seed), vocabulary
        self.template = self.tokens(50)

    def tokens(self, count: int) -> list[int]:
        return [self.random.randrange(self.vocabulary) for _ in range(count)]

    def output(self, text: list[int]) -> RecordedOutput:
        ids = np.array([[token, *self.tokens(3)] for token in text], np.int32)
        log_probs = np.array([[-0.4, -1.9, -2.5, -3.0]] * len(text), np.float16)
        return RecordedOutput("made up", "", self.tokens(12), text, ids, log_probs)

    def of_the_kind(self) -> RecordedOutput:
        return self.output([self.tokens(1)[0] if self.random.random() < 0.15 else token for token in self.template])

    def unrelated(self) -> RecordedOutput:
        """Return random tokens of which a part is repeated, so that there is something to draft."""
        start = self.tokens(25)
        return self.output([*start, *start[5:20], *self.tokens(10)])


def rounds_of(outputs: list[RecordedOutput], memory: int, costs: CostModel | None) -> list[int]:
    return [len(one.emitted) for one in replay(Merged(8, costs, memory=memory), 8, outputs)]


@pytest.mark.parametrize(
    ("vocabulary", "costs"),  # with few tokens, unrelated outputs match by chance
    [(40, None), (2000, CostModel((1, 8), (0,), [[1.0, 1.6]]))],
)
def test_acceptance_does_not_rot_as_requests_go_by(vocabulary, costs):
    script = Script(vocabulary, vocabulary)
    first = [script.of_the_kind() for _ in range(3)]
    between = [script.unrelated() for _ in range(24)]
    again = [script.of_the_kind() for _ in range(6)]
    outputs = [*first, *between, *again]
    with_memory, without, small = (rounds_of(outputs, limit, costs) for limit in (LONG, 0, 300))
    assert sum(with_memory[-6:]) < 0.6 * sum(without[-6:])
    for found in (with_memory, small):
        assert sum(found[3:27]) <= 1.03 * sum(without[3:27])
        assert sum(found[15:27]) <= 1.03 * sum(found[3:15]) * sum(without[15:27]) / sum(without[3:15])
    assert sum(small[-6:]) <= 1.03 * sum(without[-6:])
