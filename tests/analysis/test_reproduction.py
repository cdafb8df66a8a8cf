"""Our numbers beside the published ones."""

import subprocess
from pathlib import Path

import pandas as pd
import pytest

from dynatree import DynatreeError
from dynatree.analysis.tables.reproduction import METHODS, METRICS
from dynatree.analysis.tables.reproduction import table as reproduction_table

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "results/published/main.csv"


def summary(datasets=(("WikiText-2", "A & B"), ("PG-19", "Narrative"))) -> pd.DataFrame:
    values = {
        "throughput": 26.68,
        "speedup": 1.2,
        "tokens_per_round": 3.54,
        "rounds": 24.0,
        "published_acceptance": 0.5,
        "ttft_ms": 300.0,
        "tpot_ms": 70.0,
    }
    return pd.DataFrame(
        [
            {"stands_for": name, "dataset_label": label, "case": case, "label": case.replace("_", " "), **values}
            for name, label in datasets
            for case in (*METHODS, "hf_assisted")
        ]
    )


def test_every_number_once_with_its_ratio():
    frame, latex = reproduction_table(summary(), pd.read_csv(PUBLISHED))
    assert len(frame) == 2 * (len(METHODS) * len(METRICS) - 1)  # autoregressive decoding accepts nothing
    rows = frame.set_index(["dataset", "method", "metric"])
    row = rows.loc["WikiText-2", "autoregressive", "throughput"]
    assert (row["published"], row["ours"]) == (133.4, 26.68) and row["ratio"] == pytest.approx(0.2)
    row = rows.loc["WikiText-2", "dynatree", "published_acceptance"]
    assert (row["published"], row["ours"]) == (102.2, 50)
    assert rows.loc["PG-19", "dynatree", "tokens_per_round"]["published"] == 6.17
    assert rows.loc["PG-19", "chain", "rounds"]["published"] == 329
    assert r"A \& B" in latex and "nan" not in latex
    assert "autoregressive & 133.4 & 26.7 & 0.20 & 114.8 & 26.7 & 0.23" in latex


def test_a_run_with_less_has_a_smaller_table():
    part = summary([("PG-19", "Narrative")])
    frame, latex = reproduction_table(part[part["case"] != "chain"], pd.read_csv(PUBLISHED))
    assert set(frame["dataset"]) == {"PG-19"} and "chain" not in set(frame["method"])
    assert "WikiText-2" not in latex


def test_a_method_that_one_set_lacks_leaves_a_dash():
    whole = summary()
    part = whole[~((whole["case"] == "chain") & (whole["stands_for"] == "PG-19"))]
    _, latex = reproduction_table(part, pd.read_csv(PUBLISHED))
    assert "chain & 196.1 & 26.7 & 0.14 & -- & -- & --" in latex


def test_a_missing_published_number_is_named():
    published = pd.read_csv(PUBLISHED).query("not (dataset == 'PG-19' and method == 'chain' and metric == 'ttft_ms')")
    with pytest.raises(DynatreeError, match="the published ttft_ms of chain on PG-19 is missing"):
        reproduction_table(summary(), published)


def test_script(tmp_path, preloaded_python):
    summary().to_csv(tmp_path / "main.csv", index=False)
    outputs = ["--csv", tmp_path / "out.csv", "--tex", tmp_path / "out.tex"]
    command = [
        preloaded_python,
        "scripts/table.py",
        "reproduction",
        "--input",
        tmp_path / "main.csv",
        PUBLISHED,
        *outputs,
    ]
    subprocess.run(command, cwd=ROOT, check=True, env={"PYTHONPATH": str(ROOT)})
    assert len(pd.read_csv(tmp_path / "out.csv")) == 54
    assert r"\toprule" in (tmp_path / "out.tex").read_text()
