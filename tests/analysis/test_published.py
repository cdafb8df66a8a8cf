"""The published numbers: complete, readable and copied without a slip."""

from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "results/published"
REFERENCE = ROOT.parent / "shared/reference/paper_tables.csv"
EXTRA = {
    "main": [],
    "ablation": ["step"],
    "sweep": ["published_depth", "depth", "branch", "threshold"],
    "pruning": ["published_depth", "depth", "branch", "threshold"],
    "sensitivity": [
        "category",
        "setting",
        "high_confidence",
        "low_confidence",
        "min_branch",
        "max_branch",
        "base_depth",
        "max_depth",
    ],
    "length": ["baselines", "new_tokens"],
    "prompt_length": ["baselines", "limit"],
    "assisted": ["new_tokens"],
    "heads": [],
    "compression": ["model", "protocol", "tokens", "rows"],
}


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(PUBLISHED / f"{name}.csv")


@pytest.mark.parametrize("name", EXTRA)
def test_files_have_the_columns_and_units(name):
    frame = read(name)
    assert list(frame) == ["dataset", "method", *EXTRA[name], "metric", "value", "std", "unit", "source"]
    assert frame[["dataset", "method", "metric", "value", "unit", "source"]].notna().all(axis=None)
    assert (frame.groupby("metric")["unit"].nunique() == 1).all()
    assert not frame.duplicated(["dataset", "method", *EXTRA[name], "metric", "source"]).any()


def test_there_is_no_other_file_and_all_are_small():
    assert {path.stem for path in PUBLISHED.glob("*.csv")} == set(EXTRA)
    assert sum(path.stat().st_size for path in PUBLISHED.iterdir()) < 200_000


SPEED = "metric == 'throughput'"


@pytest.mark.parametrize(
    ("name", "where", "value"),
    [
        ("main", f"dataset == 'WikiText-2' and method == 'dynatree' and {SPEED}", 219.5),
        ("main", "dataset == 'PG-19' and method == 'fixed_tree' and metric == 'peak_memory_mb'", 6354.6),
        ("ablation", f"step == 'breadth' and {SPEED}", 186.5),
        ("ablation", f"step == 'depth' and {SPEED}", 213.2),
        ("ablation", "step == 'history' and metric == 'speedup'", 1.65),
        ("sweep", f"depth == 9 and branch == 3 and threshold == 0.1 and {SPEED}", 227.9),
        ("sweep", "published_depth == 8 and branch == 2 and threshold == 0.1 and metric == 'tokens_per_round'", 7.98),
        ("pruning", "published_depth == 4 and threshold == 0 and metric == 'tokens_per_round'", 4.73),
        ("pruning", "published_depth == 7 and threshold == 0.05 and metric == 'tokens_per_round'", 5.81),
        ("sensitivity", f"category == 'depths' and setting == '8-12' and {SPEED}", 256.0),
        ("sensitivity", f"category == 'reference' and method == 'autoregressive' and {SPEED}", 113.9),
        ("length", f"baselines == 'tuned' and new_tokens == 100 and method == 'dynatree' and {SPEED}", 115.0),
        ("length", f"baselines == 'tuned' and new_tokens == 100 and method == 'chain' and {SPEED}", 92.3),
        ("length", f"baselines == 'untuned' and new_tokens == 1500 and method == 'fixed_tree' and {SPEED}", 188.0),
        ("prompt_length", f"baselines == 'tuned' and limit == 100 and method == 'fixed_tree' and {SPEED}", 227.6),
        ("prompt_length", f"baselines == 'untuned' and limit == 200 and method == 'chain' and {SPEED}", 92.0),
        ("heads", "metric == 'entropy_mean'", 1.842),
        ("heads", "metric == 'sink_above_fifth'", 885),
        (
            "compression",
            "protocol == 'eviction' and tokens == 1999 and method == 'streaming_llm' and rows == 64",
            10.531,
        ),
        ("compression", "protocol == 'norms' and method == 'l2_norm_recent' and rows == 512", 17.60),
        ("assisted", "dataset == 'PG-19' and method == 'hf_assisted'", 184.8),
    ],
)
def test_hand_checked_values(name, where, value):
    rows = read(name).query(where)
    assert len(rows) == 1
    assert rows["value"].iloc[0] == pytest.approx(value, rel=2e-3)


def test_depth_counts_the_drafted_root():
    for name in ("sweep", "pruning"):
        trees = read(name).query("method == 'fixed_tree'")
        assert (trees["depth"] == trees["published_depth"] + 1).all()
    assert len(read("sweep").query("metric == 'speedup'")) == 90


def test_every_head_has_one_class():
    heads = read("heads").set_index("metric")["value"]
    classes = ["sink_positional", "true_positional", "sink_mixed", "gathering", "mixed"]
    assert heads[classes].sum() == heads["heads"]


def test_the_fallback_prompt_is_named_everywhere():
    assert read("sensitivity")["source"].str.contains("one fallback prompt").all()


@pytest.mark.skipif(not REFERENCE.exists(), reason="the dossier of the original paper is not beside this repository")
def test_main_equals_the_tables_of_the_paper():
    names = {"ar": "autoregressive", "linear_spec": "chain"}
    metrics = {"speedup_vs_ar": "speedup", "ttft": "ttft_ms", "tpot": "tpot_ms", "peak_memory": "peak_memory_mb"}
    theirs = pd.read_csv(REFERENCE).query("paper_ref in @main_tables", local_dict={"main_tables": MAIN_TABLES})
    theirs = theirs[theirs["dataset"].isin(["WikiText-2", "PG-19"])].replace({"method": names, "metric": metrics})
    keys = ["dataset", "method", "metric"]
    both = read("main").merge(theirs, on=keys, how="outer", suffixes=("", "_theirs"), validate="1:1")
    assert (both["value"] == both["value_theirs"]).all()
    assert (both["std"].fillna(-1) == both["std_theirs"].fillna(-1)).all()
    assert (both["source"] == both["paper_ref"]).all()


MAIN_TABLES = ["tab:main-results", "tab:latency-metrics", "tab:verification-efficiency", "tab:memory-footprint"]
