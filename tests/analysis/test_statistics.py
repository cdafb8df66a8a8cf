"""Definitions against obvious references."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dynatree.analysis.statistics import (
    compare,
    distinct_ngrams,
    geometric_mean,
    holm,
    interval,
    looping_share,
    paired_ratios,
    paired_test,
    published_acceptance,
    time_per_token,
)
from dynatree.config.jobs import Case


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
        ("chain", {"length": 8}, 1500, 220, 1500 / (220 * 8)),
        ("fixed_tree", {"depth": 9}, 1500, 221, 1500 / (221 * 10)),
        ("dynatree", {"base_depth": 5}, 1500, 212, 1500 / (212 * 7)),
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


def test_paired_test_agrees_with_scipy_and_the_definition_of_the_effect():
    before, after = np.array([10.0, 12.0, 9.0, 11.0]), np.array([12.0, 13.0, 12.0, 11.5])
    log_ratios = np.log(after / before)
    p, effect = paired_test(log_ratios)
    assert p == pytest.approx(stats.ttest_rel(np.log(after), np.log(before)).pvalue)
    assert effect == pytest.approx(log_ratios.mean() / np.std(log_ratios, ddof=1))
    assert paired_test(-log_ratios) == pytest.approx((p, -effect))


def test_paired_test_where_there_is_nothing_to_test():
    assert all(map(math.isnan, paired_test([]) + paired_test([0.3])))
    p, effect = paired_test(np.log([1.4, 1.4, 14 / 10]))
    assert p == 0 and math.isnan(effect)
    p, effect = paired_test([0.0, 0.0, 1e-17])
    assert p == 1 and math.isnan(effect)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([]) == []
    corrected = holm([0.02, math.nan, 0.01])
    assert corrected[::2] == pytest.approx([0.02, 0.02])
    assert math.isnan(corrected[1])


@given(st.lists(st.floats(0, 1), max_size=12), st.randoms(use_true_random=False))
def test_holm_keeps_order_never_lowers_and_follows_permutations(p_values, random):
    corrected = holm(p_values)
    assert all(raw <= new <= 1 for raw, new in zip(p_values, corrected, strict=True))
    by_raw = [new for _, new in sorted(zip(p_values, corrected, strict=True))]
    assert by_raw == sorted(by_raw)
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert holm([p_values[i] for i in order]) == [corrected[i] for i in order]


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
    return pd.DataFrame(rows, columns=columns).assign(job="j", group="all", baseline="s")


def test_comparison_pairs_prompts_and_takes_the_median_of_repetitions():
    requests = _requests()
    assert sorted(paired_ratios(requests, "a", "b", "throughput")) == [2, 8]
    found = compare(requests, "a", "b", "throughput")
    assert (found.ratio, found.low, found.high, found.n) == (pytest.approx(4), pytest.approx(2), pytest.approx(8), 2)
    assert (found.p, found.effect) == pytest.approx(paired_test(np.log([2, 8])))
    assert compare(requests.sample(frac=1, random_state=3), "a", "b", "throughput") == found


def test_comparison_pairs_only_inside_a_job_and_a_data_set():
    both = pd.concat([_requests(), _requests().assign(dataset="y"), _requests().assign(job="k")])
    assert compare(both, "a", "b", "throughput").n == 6


def test_comparison_without_pairs_has_no_ratio():
    found = compare(_requests(), "a", "missing", "throughput")
    assert found.n == 0
    assert all(map(math.isnan, found[:5]))
