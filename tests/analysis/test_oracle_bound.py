"""The oracle bound of tree sizes."""

import itertools
import random

import pandas as pd
import pytest

from dynatree.analysis.labels import with_labels
from dynatree.analysis.oracle_bound import best_sizes, bounds, choices, with_shares
from dynatree.analysis.tables.oracle_bound import bound_frame
from dynatree.analysis.tables.oracle_bound import table as bound_table
from dynatree.analysis.work import latencies
from dynatree.config.plan import Plan
from dynatree.latency.cost_model import CostModel, predict
from tests.support.synthetic import configuration, measurement

TIMES = {
    "target": CostModel((1, 2, 64), (64,), [[1.0, 2.0, 3.0]]),
    "draft": CostModel((1, 64), (64,), [[0.1, 0.1]]),
}


@pytest.fixture(scope="module")
def measured():
    return [measurement(f"peers-{dataset}") for dataset in ("encyclopaedic", "narrative")]


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    return with_labels(frame, Plan.from_config(configuration()).labels("peers"))


@pytest.fixture(scope="module")
def bounded(measured) -> pd.DataFrame:
    return labelled(bounds(measured, TIMES))


def test_the_layers_of_the_run_are_those_that_come_last():
    names = itertools.product(("stock", "small_batch"), ("target", "draft"), (64, 256), (1, 4))
    frame = pd.DataFrame(names, columns=["backend", "model", "context", "new"])
    frame["ms"] = [1000.0] * 8 + list(range(1, 9))
    found = latencies(frame)
    assert found["target"](1, 64) == pytest.approx(0.001)
    assert found["draft"](4, 256) == pytest.approx(0.008)


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
    found = next(record for record in measurement("peers-narrative").records if record.case == "cost_aware")
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
