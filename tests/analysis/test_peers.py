"""All lossless methods side by side, and the time of passes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from dynatree.analysis.figures.forwards import figure as forwards_figure
from dynatree.analysis.figures.panels import case_colors
from dynatree.analysis.figures.peers import figure as peers_figure
from dynatree.analysis.figures.style import COLORS, SPARE
from dynatree.analysis.labels import with_labels
from dynatree.analysis.summary import per_request
from dynatree.analysis.tables.forwards import table as forwards_table
from dynatree.analysis.tables.peers import peers_frame
from dynatree.analysis.tables.peers import table as peers_table
from dynatree.config.plan import Plan
from tests.support.synthetic import OTHER_RATE, RATES, configuration, measurement


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
        | {"gb_per_s": 24.0 / new, "machine_gb_per_s": 32.0}
        for model in ("target", "draft")
        for backend in ("stock", "small_batch")
        for context in (64, 256, 1024)
        for new in (1, 2, 4)
    ]
    return pd.DataFrame(rows)


def test_every_method_is_held_against_the_baseline_and_ours_against_every_method(requests):
    frame = peers_frame(requests)
    assert list(frame.drop_duplicates("dataset_label")["dataset_label"]) == ["Encyclopaedic", "Narrative", "All"]
    assert len(frame) == 2 * 3 * (requests["case"].nunique() - 1)
    row = frame[(frame["case"] == "dynatree") & (frame["dataset"] == "all") & (frame["new_tokens"] == 16)].iloc[0]
    assert row["speedup"] == pytest.approx(RATES["dynatree"] / RATES["autoregressive"])
    ours = frame[(frame["case"] == "cost_aware") & (frame["dataset"] == "all")].iloc[0]
    assert row["over"] == pytest.approx(ours["speedup"] / row["speedup"])
    assert pd.isna(ours["over"])
    assert row["pairs"] == requests["prompt"].nunique()


def test_the_table_has_the_baseline_first_and_our_methods_last_from_slow_to_fast(requests):
    frame, latex = peers_table(requests)
    rows = frame[frame["dataset_label"] == "All"].drop_duplicates("case").set_index("case")
    assert rows.index[0] == "autoregressive"
    engines = requests.drop_duplicates("case").set_index("case")["engine"][rows.index[1:]]
    assert list(engines.unique()) == ["huggingface", "llama_cpp", "dynatree"]
    for engine in engines.unique():
        assert rows["speedup"][engines.index[engines == engine]].is_monotonic_increasing
    assert "8 new tokens" in latex and "16 new tokens" in latex and "nan" not in latex


def test_every_method_is_held_against_plain_decoding_of_its_engine_and_of_llama_cpp(requests):
    frame = peers_frame(requests)
    rows = frame[(frame["dataset"] == "all") & (frame["new_tokens"] == 16)].set_index("case")
    expected = {
        "cost_aware": (RATES["autoregressive"], OTHER_RATE),
        "hf_assisted": (RATES["hf_generate"], RATES["hf_assisted"]),
        "llama_cpp_ngram": (RATES["llama_cpp"], RATES["llama_cpp_ngram"]),
    }
    for case, (plain, rate) in expected.items():
        assert rows.loc[case, "own"] == pytest.approx(rate / plain)
        assert rows.loc[case, "llama_cpp"] == pytest.approx(rate / RATES["llama_cpp"])
    assert rows.loc[["autoregressive", "hf_generate", "llama_cpp"], "own"].isna().all()
    assert rows.loc["autoregressive", "llama_cpp"] == pytest.approx(RATES["autoregressive"] / RATES["llama_cpp"])
    assert pd.isna(rows.loc["llama_cpp", "llama_cpp"])


def test_without_llama_cpp_the_column_says_that_it_did_not_run(requests):
    assert "not run" not in peers_table(requests)[1]
    frame, latex = peers_table(requests[requests["engine"] != "llama_cpp"])
    assert r"\small not run" in latex
    assert frame["llama_cpp"].isna().all()
    assert frame["own"].notna().any()


def test_one_data_set_stands_alone(requests):
    one = requests[requests["dataset"] == "narrative"]
    assert set(peers_frame(one)["dataset"]) == {"narrative"}
    assert "All" not in peers_table(one)[1]


def test_the_figure_has_one_panel_of_the_longest_outputs_with_the_fastest_method_first(requests):
    figure = peers_figure(requests)
    (axes,) = figure.axes
    frame = peers_frame(requests)
    rows = frame[(frame["new_tokens"] == 16) & (frame["dataset"] == "all") & (frame["case"] != "autoregressive")]
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(shown) == sorted(rows["label"])
    speedups = rows.set_index("label").loc[shown, "speedup"]
    assert speedups.is_monotonic_decreasing
    assert [label.get_text() for label in axes.get_yticklabels() if label.get_fontweight() == "bold"] == ["Cost-aware"]
    plt.close(figure)


def test_every_method_has_a_color_of_its_own(requests):
    colors = list(case_colors(requests).values())
    assert len(set(colors)) == len(colors) == requests["case"].nunique()


@pytest.mark.parametrize("color", [*COLORS.values(), *SPARE])
def test_every_color_stands_out_on_white(color):
    channels = np.array(to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    assert 1.05 / (linear @ (0.2126, 0.7152, 0.0722) + 0.05) >= 3  # contrast ratio of WCAG 2


def test_latency_by_model_and_layers(latency):
    frame, latex = forwards_table(latency)
    assert len(frame) == len(latency)
    assert "after 256 cached tokens" in latex
    assert r"4 & 260.0 & 19 & 260.0 & 19 & 260.0 & 19 & 260.0 & 19 \\" in latex
    assert "the machine reads 32.0 GB/s" in latex
    assert frame["share"].tolist()[:3] == [0.75, 0.375, 0.188]
    figure = forwards_figure(latency)
    assert [axes.get_title() for axes in figure.axes] == ["target", "draft"]
    assert len(figure.axes[0].lines) == 2 * 3
    plt.close(figure)


def test_the_formulas_of_spec_bench_stand_beside_ours(requests):
    size = requests["group"].astype(int) == 16
    one = requests[size].copy()
    changed = (one["case"] == "dynatree") & (one["prompt"] == one["prompt"].iloc[0])
    one.loc[changed, "throughput"] *= 3  # a mean of ratios and a ratio of means differ
    one.loc[changed, "rounds"] *= 5
    own, plain = (one[one["case"] == case] for case in ("dynatree", "autoregressive"))
    row = peers_frame(one).query("case == 'dynatree' and dataset == 'all'").iloc[0]
    assert row["specbench_speedup"] == pytest.approx(own["throughput"].mean() / plain["throughput"].mean())
    assert row["specbench_speedup"] != pytest.approx(row["speedup"], rel=0.01)
    assert row["specbench_tokens"] == pytest.approx((own["new_tokens"] - 1).sum() / own["rounds"].sum())
