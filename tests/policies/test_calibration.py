"""Calibrated probabilities approach observed frequencies."""

import random

import pytest

from dynatree.policies.calibration import Calibration, Proposal, slot_of

MODEL = slot_of("model", 0)


def test_the_confidence_is_the_probability_until_something_is_observed():
    merged = Calibration().merge([Proposal(3, MODEL, 0.6), Proposal(4, slot_of("model", 1), 0.2)], 1)
    assert [one.token for one in merged] == [3, 4]
    assert [one.probability for one in merged] == pytest.approx([0.6, 0.2])


def test_probabilities_approach_the_frequency():
    calibration, generator = Calibration(), random.Random(1)
    for _ in range(2000):
        estimates = calibration.merge([Proposal(0, MODEL, 0.9)], 1)
        calibration.observe(estimates, 0 if generator.random() < 0.3 else 1)
    (estimate,) = calibration.merge([Proposal(0, MODEL, 0.9)], 1)
    assert estimate.probability == pytest.approx(0.3, abs=0.08)


def test_statistics_are_separate_by_source_rank_confidence_depth_and_agreement():
    calibration = Calibration()
    seen = Proposal(0, MODEL, 0.5)
    for _ in range(200):
        calibration.observe(calibration.merge([seen], 1), seen.token)

    def estimated(proposals, depth):
        return calibration.merge(proposals, depth)[0].probability

    assert estimated([seen], 1) > 0.95
    assert estimated([Proposal(0, slot_of("ngram-2", 0), 0.5)], 1) == pytest.approx(0.5)
    assert estimated([Proposal(0, slot_of("model", 1), 0.5)], 1) == pytest.approx(0.5)
    assert estimated([Proposal(0, MODEL, 0.05)], 1) == pytest.approx(0.05)
    assert estimated([seen], 2) > 0.9, "the coarser kind stands in for a depth without observations"


def test_the_largest_estimate_of_a_token_counts_and_siblings_sum_to_at_most_one():
    merged = Calibration().merge(
        [Proposal(1, MODEL, 0.8), Proposal(1, slot_of("ngram-1", 0), 0.1), Proposal(2, slot_of("ngram-3", 0), 0.6)], 1
    )
    assert [one.token for one in merged] == [1, 2]
    assert sum(one.probability for one in merged) == pytest.approx(1)
    assert merged[0].probability == pytest.approx(0.8 / 1.4)
    assert [one.sources for one in merged] == [0b011, 0b010]


def test_the_calibration_error_is_the_distance_of_probability_and_frequency():
    calibration = Calibration()
    assert calibration.error is None
    for hit in (True, True, False, False):
        calibration.observe(Calibration().merge([Proposal(0, MODEL, 0.75)], 1), 0 if hit else 1)
    assert calibration.error == pytest.approx(0.25)
