"""Intervals and tests against obvious references."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dynatree.analysis.inference import (
    benjamini_hochberg,
    equivalent,
    estimate,
    geometric_mean,
    holm,
    interval,
    sign_flip,
)


@pytest.mark.parametrize("n", [4, 6, 12])
def test_interval_covers_the_mean_as_often_as_it_says(n):
    rng = np.random.default_rng(0)
    hits = sum(low < 3 < high for _, low, high in (interval(rng.normal(3, 1, n)) for _ in range(1000)))
    assert hits == pytest.approx(950, abs=25)


def test_interval_is_that_of_the_t_test_and_absent_for_few_values():
    values = [1.0, 2.0, 4.0, 8.0]
    found = stats.ttest_1samp(values, 0).confidence_interval()
    assert interval(values) == pytest.approx((3.75, found.low, found.high))
    assert interval([2.0] * 4) == (2.0, 2.0, 2.0)
    for few in ([5.0], [2.0, 2.0], [1.0, 2.0, 4.0]):
        centre, low, high = interval(few)
        assert centre == pytest.approx(np.mean(few)) and math.isnan(low) and math.isnan(high)


def test_interval_of_a_ratio_is_symmetric_under_inversion():
    ratios = np.array([1.2, 0.9, 1.5, 1.1, 2.0])
    centre, low, high = interval(ratios, geometric_mean)
    assert centre == pytest.approx(math.prod(ratios) ** (1 / 5))
    assert interval(1 / ratios, geometric_mean) == pytest.approx((1 / centre, 1 / high, 1 / low))


def indexed(values, articles, sittings=None) -> pd.Series:
    levels = {"article": articles, "prompt": range(len(values))} | ({"sitting": sittings} if sittings else {})
    return pd.Series(values, index=pd.MultiIndex.from_arrays(list(levels.values()), names=list(levels)))


def test_prompts_of_an_article_count_once():
    found = estimate(indexed([1.0, 3.0, 2.0, 4.0, 6.0], ["a", "a", "b", "c", "d"]))
    assert (found.n, found.value) == (4, pytest.approx(np.mean([2, 2, 4, 6])))


def test_sessions_widen_the_interval_if_they_differ():
    rng = np.random.default_rng(1)
    articles = [f"a{i}" for i in range(8)] * 2
    own = np.tile(rng.normal(0, 0.1, 8), 2)
    same = indexed(own + rng.normal(0, 0.01, 16), articles, [0] * 8 + [1] * 8)
    shifted = indexed(same.to_numpy() + np.repeat([0.0, 0.5], 8), articles, [0] * 8 + [1] * 8)
    plain, wide = estimate(same), estimate(shifted)
    assert plain.freedom == 7 and wide.freedom < 3
    assert wide.high - wide.low > 3 * (plain.high - plain.low)


def test_estimates_with_sessions_cover():
    rng = np.random.default_rng(2)
    articles, sittings = [f"a{i}" for i in range(12)] * 3, [0] * 12 + [1] * 12 + [2] * 12
    hits = 0
    for _ in range(300):
        values = np.tile(rng.normal(0, 0.1, 12), 3) + np.repeat(rng.normal(0, 0.1, 3), 12) + rng.normal(0, 0.05, 36)
        found = estimate(indexed(values, articles, sittings))
        hits += found.low < 0 < found.high
    assert hits >= 0.92 * 300


@given(st.lists(st.integers(-500, 500).map(lambda n: n / 100), min_size=1, max_size=7))  # ties are exact or clear
def test_sign_flips_equal_their_definition(values):
    total = abs(sum(values)) - 1e-9
    flips = [abs(sum(np.multiply(signs, values))) for signs in itertools.product((1, -1), repeat=len(values))]
    assert sign_flip(values) == pytest.approx(np.mean([one >= total for one in flips]), abs=1e-9)


def test_sign_flips_of_many_values_are_drawn():
    rng = np.random.default_rng(3)
    values = rng.normal(0.4, 1, 40)
    assert sign_flip(values) == sign_flip(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.01)
    assert sign_flip([1.0] * 6) == 2 / 64 and math.isnan(sign_flip([]))


def test_equivalence_needs_a_narrow_interval_and_six_values():
    near = estimate(pd.Series([1.0, 1.01, 0.99, 1.0, 1.005, 0.995]), geometric_mean)
    assert equivalent(near, True, 1.0, 0.03) and not equivalent(near, True, 1.1, 0.03)
    assert not equivalent(estimate(pd.Series([1.0] * 5), geometric_mean), True, 1.0, 0.03)
    assert equivalent(estimate(pd.Series([0.3, 0.301] * 4)), False, 0.3, 0.02)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([]) == []
    corrected = holm([0.02, math.nan, 0.01])
    assert corrected[::2] == pytest.approx([0.02, 0.02])
    assert math.isnan(corrected[1])


@given(st.lists(st.floats(0, 1), max_size=12))
def test_false_discoveries_are_controlled_as_scipy_does(p_values):
    expected = stats.false_discovery_control(p_values) if p_values else []
    assert benjamini_hochberg(p_values) == pytest.approx(list(expected))
    assert math.isnan(benjamini_hochberg([0.01, math.nan])[1])


@given(st.lists(st.floats(0, 1), max_size=12), st.randoms(use_true_random=False))
def test_holm_keeps_order_never_lowers_and_follows_permutations(p_values, random):
    corrected = holm(p_values)
    assert all(raw <= new <= 1 for raw, new in zip(p_values, corrected, strict=True))
    by_raw = [new for _, new in sorted(zip(p_values, corrected, strict=True))]
    assert by_raw == sorted(by_raw)
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert holm([p_values[i] for i in order]) == [corrected[i] for i in order]
