"""Summaries, tables and figures of cache compression, from made-up measurements."""

import copy
import math
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.text import Text

from dynatree.analysis.claims import judge
from dynatree.analysis.compression_summary import compression_requests, summarize_compression, summarize_passkey
from dynatree.analysis.figures.cache_growth import figure as cache_growth_figure
from dynatree.analysis.figures.compression import figure as compression_figure
from dynatree.analysis.figures.passkey import figure as passkey_figure
from dynatree.analysis.figures.style import series_styles
from dynatree.analysis.labels import with_labels
from dynatree.analysis.published import load_claims, load_margins
from dynatree.analysis.tables.cache_times import table as cache_times_table
from dynatree.analysis.tables.compression import table as compression_table
from dynatree.analysis.tables.compression_published import table as compression_published_table
from dynatree.analysis.tables.passkey import table as passkey_table
from dynatree.config.compression_grid import compression_labels
from dynatree.config.load import load_config
from tests.support.compression_frames import compression_frames, compression_measured, perplexity
from tests.support.figures import texts

ROOT = Path(__file__).resolve().parents[2]
FIGURES = {"compression": compression_figure, "cache_growth": cache_growth_figure, "passkey": passkey_figure}
TABLES = {"compression": compression_table, "cache_times": cache_times_table, "passkey": passkey_table}
RUN = {"device": "cpu", "models": {"target": "Big", "draft": "Small"}, "published_pair": False, "published": False}


@pytest.fixture(scope="module", params=["ci", "demo"])
def config(request) -> dict:
    return load_config(ROOT / f"config/{request.param}.yaml")


@pytest.fixture(scope="module")
def measured(config) -> dict:
    return compression_measured(config)


@pytest.fixture(scope="module")
def frames(config, measured) -> dict[str, pd.DataFrame]:
    """As the scripts of tables and figures read them."""
    return {
        name: with_labels(frame, compression_labels(config)) for name, frame in compression_frames(measured).items()
    }


def test_ratios_are_paired_by_text_and_the_full_cache_has_ratio_one(frames, measured):
    rows = frames["compression"].set_index("case")
    assert rows.loc["full", "perplexity_ratio"] == 1
    for case in rows.index[rows["perplexity"].notna()]:
        assert rows.loc[case, "perplexity"] == pytest.approx(perplexity(measured, case))
        assert rows.loc[case, "perplexity_ratio"] == pytest.approx(
            rows.loc[case, "perplexity"] / rows.loc["full", "perplexity"]
        )
        assert (
            rows.loc[case, "perplexity_ratio_low"]
            <= rows.loc[case, "perplexity_ratio"]
            <= rows.loc[case, "perplexity_ratio_high"]
        )
    assert rows.loc["full", "texts"] == 6


def test_times_are_those_of_generation(frames, measured):
    rows = frames["compression"].set_index("case")
    timed = rows[rows["throughput"].notna()]
    assert set(timed.index) == set(measured["job"]["generation_cases"])
    assert timed.loc["full", "tpot_ms"] == pytest.approx(50)
    assert (timed.drop("full")["throughput_ratio_high"] < 1).all()
    assert timed["peak_mib"].notna().all()


def test_repetitions_count_once(measured):
    twice = copy.deepcopy(measured)
    twice["generation"] += [row | {"repetition": 1} for row in measured["generation"]]
    once, again = (summarize_compression(compression_requests([one])) for one in (measured, twice))
    pd.testing.assert_frame_equal(once, again)


def test_numbers_found_are_counted(measured):
    frame = summarize_passkey([measured | {"passkey": []}, measured])
    assert (frame["asked"] == measured["job"]["passkey"]["count"]).all()
    assert frame.loc[frame["case"] == "full", "share"].eq(1).all()


def test_the_growth_ends_at_the_budget(frames):
    last = frames["cache_growth"].groupby("case").last()
    limited = last[last["budget"].notna()]
    assert limited["cache_mib"].to_numpy() == pytest.approx(limited["budget"].to_numpy() * 1000 / 2**20)


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_whole(name, frames):
    frame, latex = TABLES[name](frames["passkey" if name == "passkey" else "compression"])
    assert len(frame) and "nan" not in latex
    assert latex.count(r"\begin{tabular}") == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FIGURES)
def test_figures_name_every_method(name, frames, config):
    shown = " ".join(texts(FIGURES[name](frames[name])))
    assert all(method["label"] in shown for method in config["compression"]["methods"].values())


def test_many_series_are_told_apart():
    styles = [tuple(style.values()) for style in series_styles(map(str, range(20))).values()]
    assert len(set(styles)) == 20


@pytest.mark.parametrize("name", FIGURES)
def test_labels_are_shown_literally(name, frames):
    data = frames[name].copy()
    data["label"] = data["label"] + " $x_1"
    figure = FIGURES[name](data)
    figure.canvas.draw()
    assert any(r" \$x_1" in text.get_text() for text in figure.findobj(Text))


def published() -> pd.DataFrame:
    return pd.read_csv(ROOT / "results/published/compression.csv")


def test_only_what_compares_is_divided(frames):
    ours = frames["compression"]
    frame, latex = compression_published_table(ours, published())
    assert frame["over"].isna().all() and "nan" not in latex
    row = frame[(frame["protocol"] == "eviction") & (frame["tokens"] == 1999) & (frame["rows"] == 64)].iloc[0]
    assert row["ratio"] == pytest.approx(10.531 / 8.687, abs=1e-4)
    alike = ours[ours["method"] == "streaming_llm"].iloc[:1]
    alike = alike.assign(
        method="streaming_llm_original", budget=64, model="pythia-2.8b", tokens=2000, perplexity_ratio=1.2
    )
    frame, _ = compression_published_table(pd.concat([ours, alike]), published())
    compared = frame[frame["over"].notna()]
    assert list(compared["rows"]) == [64]
    assert compared["over"].iloc[0] == pytest.approx(1.2 / (10.531 / 8.687), abs=1e-3)


def test_claims_on_compression_are_judged(measured):
    claims = [c for c in load_claims(ROOT / "config/claims.yaml") if c["predicate"].get("experiment") == "compression"]
    assert len(claims) == 5
    ledger = judge(
        claims, {"compression": compression_requests([measured])}, {}, RUN, load_margins(ROOT / "config/claims.yaml")
    ).set_index("id")
    assert ledger.loc["sinks-matter", "verdict"] == "holds here"
    assert ledger.loc["low-norms-better-than-recent", "verdict"] == "holds here"
    assert "forward passes of one side are not recorded" in ledger.loc["low-norms-not-faster", "reason"]
    assert ledger.loc["sinks-nearly-lossless", "verdict"] == "not testable here"
    assert not math.isnan(ledger.loc["head-aware-not-better", "value"])
