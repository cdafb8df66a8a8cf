"""Replays under other times of passes, and the bound of the best tree sizes."""

import itertools
import random

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from dynatree.analysis.figures.projection import projection_figure
from dynatree.analysis.labels import with_labels
from dynatree.analysis.oracle_bound import best_sizes, bounds, choices
from dynatree.analysis.replay import latencies, replays
from dynatree.analysis.replay_metrics import HERE, with_shares, with_speedups
from dynatree.analysis.tables.bound import bound_frame, bound_table
from dynatree.analysis.tables.projection import MEASURED, projection_frame, projection_table
from dynatree.analysis.tables.validation import validation_frame, validation_table
from dynatree.config.experiments import labels
from dynatree.latency.cost_model import CostModel, predict
from tests.support.synthetic import configuration, measurement, projection, trace

TIMES = {
    "target": CostModel((1, 2, 64), (64,), [[1.0, 2.0, 3.0]]),
    "draft": CostModel((1, 64), (64,), [[0.1, 0.1]]),
}


@pytest.fixture(scope="module")
def measured():
    return [measurement(f"peers-{dataset}") for dataset in ("encyclopaedic", "narrative")]


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    return with_labels(frame, labels(configuration(), "peers"))


@pytest.fixture(scope="module")
def replayed(measured) -> pd.DataFrame:
    return labelled(replays(measured, TIMES, projection()))


@pytest.fixture(scope="module")
def bounded(measured) -> pd.DataFrame:
    return labelled(bounds(measured, TIMES))


def test_the_layers_of_the_run_are_those_that_come_last():
    names = itertools.product(("stock", "packed"), ("target", "draft"), (64, 256), (1, 4))
    frame = pd.DataFrame(names, columns=["backend", "model", "context", "new"])
    frame["ms"] = [1000.0] * 8 + list(range(1, 9))
    found = latencies(frame)
    assert found["target"](1, 64) == pytest.approx(0.001)
    assert found["draft"](4, 256) == pytest.approx(0.008)


def test_a_replay_adds_up_the_passes_after_prefill(replayed):
    """Rounds of five tokens and two passes of the draft against rounds of one token."""
    row = replayed[(replayed["machine"] == HERE) & (replayed["case"] == "dynatree") & (replayed["group"] == "16")].iloc[
        0
    ]
    rounds = len(trace(16, "dynatree")["rounds"])
    expected = rounds * (TIMES["target"](5, 64) + 2 * 0.1)
    assert row["models_s"] == pytest.approx(expected)
    plain = replayed[(replayed["machine"] == HERE) & (replayed["case"] == "autoregressive")]
    assert sorted(plain["models_s"].unique()) == pytest.approx([7.0, 15.0])
    assert (plain["baseline_s"] == plain["models_s"] + plain["other_s"]).all()


def test_errors_are_shares_of_what_was_measured(replayed):
    found = with_speedups(replayed)
    here = found[found["machine"] == HERE]
    assert (here["error"] == here["predicted_s"] / here["measured_s"] - 1).all()
    assert found[found["machine"] != HERE]["error"].isna().all()
    frame = validation_frame(replayed)
    assert frame["case"].iloc[-1] == "all" and frame["requests"].iloc[-1] == len(here)
    assert pd.isna(frame.set_index("case").loc["autoregressive", "largest_speedup_error"])
    assert frame.set_index("case").loc["all", "largest_error"] == here["error"].abs().max()
    assert "nan" not in validation_table(replayed)[1]


def test_references_have_no_trace_and_are_not_replayed(replayed):
    assert not replayed["case"].str.startswith(("hf", "assisted")).any()


def test_speedups_elsewhere_by_trees_of_here_and_of_there(replayed):
    frame = projection_frame(replayed, projection()).set_index(["new_tokens", "case", "decided", "place"])
    assert set(frame.index.get_level_values("place")) == {MEASURED, HERE, "flat"}
    there = frame.loc[(16, "cost_aware", "there", "flat")]
    assert there["pairs"] == 2 and there["label"] == "Cost-aware, deciding there"
    other = replayed[(replayed["decided"] == "there")]["other_s"].iloc[0]
    base = replayed[(replayed["decided"] == "there")]["baseline_s"].iloc[0]
    assert there["speedup"] == pytest.approx(base / (0.024 + other))
    plain = replayed[(replayed["decided"] == "there")]["baseline_models_s"].iloc[0]
    assert plain == pytest.approx(15 * 0.004)
    assert there["models_speedup"] == pytest.approx(plain / 0.024)
    assert (8, "cost_aware", "there", "flat") not in frame.index
    _, latex = projection_table(replayed, projection())
    assert r"A\_100 \& more" in latex and "nan" not in latex
    assert latex.count("deciding there") == 1 and latex.count("models alone") == 1


def test_the_figure_shows_all_requests_and_places(replayed):
    figure = projection_figure(replayed, projection())
    left, right = figure.axes
    assert sum(len(line.get_xdata()) for line in left.lines if line.get_marker() == "o") == len(
        replayed[replayed["machine"] == HERE]
    )
    assert "Cost-aware, deciding there" in [text.get_text() for text in right.get_yticklabels()]
    plt.close(figure)


@pytest.mark.parametrize("seed", range(20))
def test_the_oracle_is_the_best_of_all_combinations(seed):
    draw = random.Random(seed)
    sizes = [range(draw.randint(1, 4)) for _ in range(5)]
    rounds = [[(1 + hits, draw.uniform(1, 1 + 2 * hits), hits) for hits in choice] for choice in sizes]

    def rate(chosen):
        return sum(tokens for tokens, *_ in chosen) / sum(seconds for _, seconds, _ in chosen)

    best = max(map(rate, itertools.product(*rounds)))
    assert rate(best_sizes(rounds)) == pytest.approx(best)


def test_the_choices_of_a_round():
    found = trace(16, "cost_aware")
    attained, possible = choices(found, TIMES)
    spent = 2 * 0.1
    assert attained[0] == (2, pytest.approx(spent + TIMES["target"](5, 64)), 4)
    assert possible[0] == [
        (1, pytest.approx(spent + 1.0), 0),
        (2, pytest.approx(spent + TIMES["target"](3, 64)), 2),
        (3, pytest.approx(spent + TIMES["target"](8, 64)), 7),
    ]
    assert predict([(3, 64), (8, 64)], TIMES["target"]) == pytest.approx(
        TIMES["target"](3, 64) + TIMES["target"](8, 64)
    )


def test_nothing_attains_more_than_the_oracle(bounded):
    found = with_shares(bounded)
    assert (found["chosen_share"] <= 1 + 1e-9).all()
    assert (found["share"] < found["chosen_share"]).all()
    assert set(bounded["case"]) == {"cost_aware", "cost_aware_model", "cost_aware_ngram", "cost_aware_recycling"}
    frame = bound_frame(bounded)
    assert list(frame["new_tokens"].unique()) == [8, 16]
    assert (frame["pairs"] == 8).all()
    assert "nan" not in bound_table(bounded)[1]
