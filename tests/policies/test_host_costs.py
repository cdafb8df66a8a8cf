"""Measured host time."""

import pytest

from dynatree.policies.host_costs import PAUSE, DecayedMean


def test_a_mean_equals_its_only_observation_and_follows_later_ones():
    mean = DecayedMean()
    assert mean.value == 0
    mean.observe(4.0)
    assert mean.value == 4
    for _ in range(200):
        mean.observe(1.0)
    assert mean.value == pytest.approx(1, abs=0.01)


def test_a_pause_of_the_process_counts_as_a_multiple_of_the_mean():
    mean = DecayedMean()
    mean.observe(1.0)
    assert mean.observe(2.0) == 2
    assert mean.observe(500.0) == pytest.approx(PAUSE * 1.5, rel=0.05)
