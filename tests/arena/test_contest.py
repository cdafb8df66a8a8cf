"""Replays and scores, on a recording of a tiny random model."""

import re

import pytest
import torch

from dynatree import ModelPair, generate
from dynatree.arena.contest import ALL, as_text, contest, default_drafters
from dynatree.arena.recorder import record
from dynatree.arena.recording import Recording
from dynatree.arena.replay import replay
from dynatree.distillation.ngram_counts import count_ngrams
from dynatree.drafting.free.merged import Merged
from dynatree.drafting.free.registry import FREE_DRAFTERS, Setting, make_free_drafter
from dynatree.latency.cost_model import CostModel
from tests.support.models import tiny_model
from tests.support.simulated_clock import simulated_clock

COSTS = CostModel((1, 8, 64), (0,), [[1.0, 1.5, 8.0]])
PINNED = {
    "prompt_lookup": 130,
    "sam": 130,
    "sam_recycling": 116,
    "suffix": 122,
    "recycling": 116,
    "logit_spec": 109,
    "racer": 111,
    "merged_chain": 128,
    "merged": 109,
    "merged_memory": 107,
}


@pytest.fixture(scope="module")
def pair() -> ModelPair:
    return ModelPair(target=tiny_model(seed=3), draft=None, tokenizer=None)


@pytest.fixture(scope="module")
def recording(pair) -> Recording:
    prompts = [
        {
            "id": str(start),
            "category": "odd" if start % 2 else "even",
            "tokens": [(start * n) % 40 + 4 for n in range(9)],
        }
        for start in range(1, 5)
    ]
    return Recording("tiny", "made up", list(record(pair, prompts, 40, row=8)))


def test_rounds_emit_every_recorded_token_after_the_first(recording):
    for name in FREE_DRAFTERS:
        for one in replay(make_free_drafter(name, Setting(6)), 6, recording.outputs):
            assert sum(one.emitted) == len(one.output.tokens) - 1
            assert all(1 <= new <= 7 for new, _ in one.passes)


def test_scores_are_pinned(recording):
    scores = contest([recording], default_drafters(None, None), [8])
    found = {one.drafter: one.rounds for one in scores if one.dataset == ALL}
    assert found == PINNED


def test_a_table_of_the_outputs_saves_rounds(recording):
    texts = [one.prompt + one.tokens for one in recording.outputs]
    text = torch.tensor([one[: min(map(len, texts))] for one in texts])
    table = count_ngrams(text[:, :-1], text[:, 1:], 1000, 4)
    names = default_drafters(COSTS, table)
    assert set(names) == set(FREE_DRAFTERS)
    found = contest([recording], ["merged", "merged_table"], [8], None, table)
    rounds = {one.drafter: one.rounds for one in found if one.dataset == ALL}
    assert rounds["merged_table"] < rounds["merged"]


def test_scores_do_not_depend_on_the_run(recording):
    def counts():
        scores = contest([recording], default_drafters(COSTS, None), [4, 16], COSTS)
        return [(one.drafter, one.nodes, one.category, one.rounds, one.verified, one.seconds) for one in scores]

    assert counts() == counts()


def test_a_replayed_policy_needs_the_rounds_of_real_decoding(pair):
    """Rejected nodes have rows in real decoding alone, so the comparison uses n-grams, which ignore rows."""
    prompt = [7, 8, 9, 7, 8, 9, 7]
    (output,) = record(pair, [{"id": "x", "tokens": prompt}], 40, row=8)
    (found,) = replay(Merged(8, COSTS, sources=["ngram"]), 8, [output])
    with simulated_clock(pair, COSTS):
        real = generate(pair, prompt, "cost_aware", 40, sources=["ngram"], node_budget=8, max_depth=8)
    assert [one.emitted for one in real.stats.rounds_log] == found.emitted


def test_categories_sum_to_all(recording):
    scores = contest([recording], ["sam"], [8], COSTS)
    by = {(one.dataset, one.category): one for one in scores}
    for name in ("tokens", "rounds", "verified", "outputs"):
        parts = getattr(by["made up", "odd"], name) + getattr(by["made up", "even"], name)
        assert parts == getattr(by["made up", ALL], name) == getattr(by[ALL, ALL], name)
    total = by[ALL, ALL]
    assert total.plain_seconds == total.tokens and total.speedup == pytest.approx(total.tokens / total.seconds)


def test_the_text_has_a_line_per_drafter_and_a_column_per_category(recording):
    text = as_text(contest([recording], ["sam", "merged"], [4, 8], COSTS))
    first, second = text.split("\n\n")
    assert re.split(r"\s{2,}", first.splitlines()[0]) == [
        "tokens per round, 4 nodes", "odd", "even", "all", "host ms", "tokens/s", "speed-up",
    ]  # fmt: skip
    assert [line.split()[0] for line in second.splitlines()[1:]] == ["SAM", "Merged"]
