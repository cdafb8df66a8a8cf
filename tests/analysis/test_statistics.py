"""Definitions against obvious references."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynatree.analysis.inference import sign_flip
from dynatree.analysis.statistics import (
    compare,
    distinct_ngrams,
    looping_share,
    paired_ratios,
    published_acceptance,
    time_per_token,
)
from dynatree.config.jobs import Case


def test_time_per_token_leaves_the_first_out():
    assert time_per_token(total=1.1, ttft=0.1, tokens=11) == pytest.approx(0.1)
    assert math.isnan(time_per_token(1.0, 1.0, 1))


@pytest.mark.parametrize(
    ("method", "options", "tokens", "rounds", "expected"),
    [
        ("chain", {"length": 8}, 1500, 220, 1499 / (220 * 8)),
        ("fixed_tree", {"depth": 9}, 1500, 221, 1499 / (221 * 10)),
        ("dynatree", {"base_depth": 5}, 1500, 212, 1499 / (212 * 7)),
    ],
)
def test_published_acceptance(method, options, tokens, rounds, expected):
    assert published_acceptance(Case("dynatree", method, options), tokens, rounds) == pytest.approx(expected)
    assert math.isnan(published_acceptance(Case("huggingface", "generate"), tokens, rounds))


def test_looping_share_by_hand():
    assert looping_share([1, 2, 3, 4, 5, 6]) == 0
    assert looping_share([7] * 10) == 6 / 10  # the fourth repetition in a row is the first that counts
    assert looping_share([1, 2, 3, 4, 5] * 4) == 11 / 20
    assert looping_share([]) == 0


@given(st.lists(st.integers(0, 3), max_size=60))
def test_looping_share_equals_its_definition(tokens):
    def loops(end: int) -> bool:
        periods = range(1, min(64, len(tokens) - 1) + 1)
        return any(
            end + 1 >= max(p, 4) + p and all(tokens[i] == tokens[i - p] for i in range(end - max(p, 4) + 1, end + 1))
            for p in periods
        )

    expected = sum(map(loops, range(len(tokens)))) / len(tokens) if tokens else 0
    assert looping_share(tokens) == pytest.approx(expected)


@given(st.lists(st.integers(0, 3), max_size=40))
def test_distinct_ngrams_equals_its_definition(tokens):
    grams = [tuple(tokens[i : i + 4]) for i in range(len(tokens) - 3)]
    assert distinct_ngrams(tokens) == (len(set(grams)) / len(grams) if grams else 1)


def _requests() -> pd.DataFrame:
    """Two prompts with ratios 2 and 8, the second measured three times with one slow repetition."""
    columns = ("case", "dataset", "prompt", "repetition", "throughput")
    rows = [
        ("a", "x", "p", 0, 20.0),
        ("b", "x", "p", 0, 10.0),
        *[("a", "x", "q", i, speed) for i, speed in enumerate((80.0, 1.0, 90.0))],
        ("b", "x", "q", 0, 10.0),
        ("a", "x", "alone", 0, 5.0),
        ("b", "x", "zero", 0, 0.0),
        ("a", "x", "zero", 0, 7.0),
    ]
    return pd.DataFrame(rows, columns=columns).assign(
        job="j", group="all", baseline="s", sitting=0, article=lambda rows: rows["prompt"]
    )


def test_comparison_pairs_prompts_and_takes_the_median_of_repetitions():
    requests = _requests()
    assert sorted(paired_ratios(requests, "a", "b", "throughput")) == [2, 8]
    found = compare(requests, "a", "b", "throughput")
    assert (found.ratio, found.n, found.p) == (pytest.approx(4), 2, sign_flip(np.log([2, 8])))
    assert math.isnan(found.low) and math.isnan(found.high), "two prompts get no interval"
    again = compare(requests.sample(frac=1, random_state=3), "a", "b", "throughput")
    assert (again.ratio, again.p, again.effect) == (found.ratio, found.p, found.effect)


def test_comparison_pairs_only_inside_a_job_and_a_data_set():
    both = pd.concat([_requests(), _requests().assign(dataset="y"), _requests().assign(job="k")])
    assert len(paired_ratios(both, "a", "b", "throughput")) == 6
    assert compare(both, "a", "b", "throughput").n == 2, "of two articles"


def test_comparison_without_pairs_has_no_ratio():
    found = compare(_requests(), "a", "missing", "throughput")
    assert found.n == 0
    assert all(map(math.isnan, found[:5]))
