"""Definitions against obvious references."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynatree.analysis.statistics import (
    distinct_ngrams,
    geometric_mean,
    interval,
    looping_share,
    published_acceptance,
    time_per_token,
)


def test_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        centre, low, high = interval(rng.normal(3, 1, size=30))
        assert low < centre < high
        hits += low < 3 < high
    assert 85 <= hits <= 100


def test_interval_is_repeatable_and_degenerates_where_nothing_varies():
    values = [1.0, 2.0, 4.0, 8.0]
    assert interval(values) == interval(values)
    assert interval([2.0, 2.0]) == (2.0, 2.0, 2.0)
    assert interval([5.0]) == (5.0, 5.0, 5.0)


def test_interval_of_a_ratio_is_symmetric_under_inversion():
    ratios = np.array([1.2, 0.9, 1.5, 1.1, 2.0])
    centre, low, high = interval(ratios, geometric_mean)
    inverse = interval(1 / ratios, geometric_mean)
    assert centre == pytest.approx(math.prod(ratios) ** (1 / 5))
    assert inverse == pytest.approx((1 / centre, 1 / high, 1 / low))


def test_time_per_token_leaves_the_first_out():
    assert time_per_token(total=1.1, ttft=0.1, tokens=11) == pytest.approx(0.1)
    assert math.isnan(time_per_token(1.0, 1.0, 1))


@pytest.mark.parametrize(
    ("method", "options", "tokens", "rounds", "expected"),
    [
        ("linear", {"length": 8}, 1500, 220, 1500 / (220 * 8)),
        ("fixed_tree", {"depth": 9}, 1500, 221, 1500 / (221 * 10)),
        ("dynatree", {"base_depth": 5}, 1500, 212, 1500 / (212 * 7)),
    ],
)
def test_published_acceptance(method, options, tokens, rounds, expected):
    assert published_acceptance({"method": method, "options": options}, tokens, rounds) == pytest.approx(expected)
    assert math.isnan(published_acceptance({"method": "generate", "options": {}}, tokens, rounds))


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
