"""The spread of A/A pairs over a run."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dynatree.analysis.noise import Noise
from tests.analysis.test_claims import requests_of

AGAIN = "autoregressive_again"


def frame_of(logs: list[float], **columns) -> pd.DataFrame:
    """Requests whose A/A pairs have these log ratios."""
    return requests_of({AGAIN: 1.0}, prompts=len(logs), wobble=np.exp(logs), **columns)


def test_pairs_of_all_jobs_count_alike():
    runs = {"main": frame_of([0.1] * 6), "length": frame_of([-0.2] * 2, job="length-a"), "peers": requests_of({})}
    found = Noise.of_run(runs)
    assert found.pairs == 8 and found.deviation == pytest.approx(math.sqrt((6 * 0.01 + 2 * 0.04) / 8))


def test_prompts_of_an_article_are_one_pair():
    frame = frame_of([0.1, 0.3, -0.1, 0.1]).assign(article=["a", "a", "b", "b"] * 2)
    found = Noise.of_run({"main": frame})
    assert found.pairs == 2 and found.deviation == pytest.approx(math.sqrt((0.2**2 + 0) / 2))


def test_the_spread_contains_95_percent_of_the_means_of_identical_programs():
    generator = np.random.default_rng(0)
    hits = []
    for _ in range(4000):
        pairs = generator.normal(0, 0.1, 20)
        noise = Noise(math.sqrt((pairs**2).mean()), len(pairs))
        hits.append(abs(generator.normal(0, 0.1, 6).mean()) <= math.log(1 + noise.spread(6)))
    assert stats.binomtest(sum(hits), len(hits), 0.95).pvalue > 1e-3


def test_a_run_without_pairs_has_no_spread():
    assert Noise.of_run({"main": requests_of({}), "compression": pd.DataFrame({"budget": [1]})}).spread(6) == 0
