"""All lossless methods side by side, and the time of passes."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from dynatree.analysis.figures.forwards import forwards_figure
from dynatree.analysis.figures.peers import peers_figure
from dynatree.analysis.labels import with_labels
from dynatree.analysis.summary import per_request
from dynatree.analysis.tables.forwards import forwards_table
from dynatree.analysis.tables.peers import peers_frame, peers_table
from dynatree.config.plan import Plan
from tests.support.synthetic import RATES, configuration, measurement


@pytest.fixture(scope="module")
def requests() -> pd.DataFrame:
    config = configuration()
    names = ("peers-encyclopaedic", "peers-narrative")
    frame = pd.concat([per_request(name, measurement(name, config=config)) for name in names], ignore_index=True)
    return with_labels(frame, Plan.from_config(config).labels("peers"))


@pytest.fixture
def latency() -> pd.DataFrame:
    rows = [
        {"model": model, "backend": backend, "context": context, "new": new, "ms": new + context}
        for model in ("target", "draft")
        for backend in ("stock", "packed")
        for context in (64, 256, 1024)
        for new in (1, 2, 4)
    ]
    return pd.DataFrame(rows)


def test_every_method_is_held_against_the_baseline_and_ours_against_every_method(requests):
    frame = peers_frame(requests)
    assert list(frame.drop_duplicates("dataset_label")["dataset_label"]) == ["Encyclopaedic", "Narrative", "All"]
    assert len(frame) == 2 * 3 * requests["case"].nunique()
    row = frame[(frame["case"] == "dynatree") & (frame["dataset"] == "all") & (frame["new_tokens"] == 16)].iloc[0]
    assert row["speedup"] == pytest.approx(RATES["dynatree"] / RATES["autoregressive"])
    ours = frame[(frame["case"] == "cost_aware") & (frame["dataset"] == "all")].iloc[0]
    assert row["over"] == pytest.approx(ours["speedup"] / row["speedup"])
    assert pd.isna(ours["over"])
    assert row["pairs"] == requests["prompt"].nunique()


def test_the_table_has_the_baseline_first_and_ours_last(requests):
    frame, latex = peers_table(requests)
    cases = list(frame.drop_duplicates("case")["case"])
    assert cases[0] == "autoregressive"
    assert cases[1:4] == ["hf_generate", "hf_assisted", "hf_prompt_lookup"]
    assert cases[-1] == "cost_aware"
    assert "8 new tokens" in latex and "16 new tokens" in latex and "nan" not in latex


def test_one_data_set_stands_alone(requests):
    one = requests[requests["dataset"] == "narrative"]
    assert set(peers_frame(one)["dataset"]) == {"narrative"}
    assert "All" not in peers_table(one)[1]


def test_the_figure_has_a_panel_for_each_length(requests):
    figure = peers_figure(requests)
    assert [axes.get_title() for axes in figure.axes] == ["8 new tokens", "16 new tokens"]
    plt.close(figure)


def test_times_of_passes_by_model_and_layers(latency):
    frame, latex = forwards_table(latency)
    assert len(frame) == len(latency)
    assert "after 256 cached tokens" in latex
    assert r"4 & 260.0 & 260.0 & 260.0 & 260.0 \\" in latex
    figure = forwards_figure(latency)
    assert [axes.get_title() for axes in figure.axes] == ["target", "draft"]
    assert len(figure.axes[0].lines) == 2 * 3
    plt.close(figure)
