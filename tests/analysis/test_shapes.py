"""Verdicts on trees against tuned chains of the same drafts."""

from pathlib import Path

import pandas as pd
import pytest

from dynatree.analysis.published import load_margins
from dynatree.analysis.shapes import shape_ledger, tuned
from dynatree.analysis.tables.shapes import table
from tests.support.arena_frames import shapes_frame

MARGINS = load_margins(Path(__file__).resolve().parents[2] / "config/claims.yaml")
LABELS = {"encyclopaedic": "Encyclopaedic", "narrative": "Narrative"}


def ledger(shapes: pd.DataFrame) -> pd.DataFrame:
    return shape_ledger(shapes, LABELS, MARGINS).set_index("id")


def with_trees(factor: float, outputs: int = 8) -> pd.DataFrame:
    """Trees whose forward passes take `factor` times as long."""
    shapes = shapes_frame(outputs)
    return shapes.assign(seconds=shapes["seconds"].where(shapes["shape"] == "chain", shapes["seconds"] * factor))


def test_each_shape_has_the_size_of_least_time():
    rows = shapes_frame()
    rows = rows[(rows["source"] == "ngram") & (rows["dataset"] == "narrative")]
    assert tuned(rows[rows["shape"] == "chain"])["size"].unique().tolist() == [2]
    assert tuned(rows[rows["shape"] == "tree"])["size"].unique().tolist() == [4]


@pytest.mark.parametrize(
    ("factor", "outputs", "verdict"),
    [
        (1.0, 8, "holds here"),
        (2.0, 8, "fails here"),
        (1.305, 8, "equivalent within the margin"),
        (1.0, 5, "too few data"),
    ],
)
def test_verdicts(factor, outputs, verdict):
    found = ledger(with_trees(factor, outputs))
    assert len(found) == 2 * 3
    one = found.loc["tree-over-chain-ngram-narrative"]
    assert (one["verdict"], one["n"], one["workload"]) == (verdict, outputs, "Narrative")
    assert "claim is above 1" in one["reason"]


def test_turns_of_a_conversation_count_once():
    shapes = shapes_frame()
    shapes["article"] = shapes["article"].replace({"p1": "p0"})
    assert ledger(shapes)["n"].tolist() == [7, 7, 14] * 2


def test_the_table_has_a_line_per_source_and_workload():
    shapes = shapes_frame()
    frame, latex = table(shapes, shape_ledger(shapes, LABELS, MARGINS))
    assert frame["workload"].tolist() == ["Encyclopaedic", "Narrative", "All"] * 2
    assert r"\textit{n-grams}" in latex and "nan" not in latex
    assert "holds here" in latex and latex.count(" & 2 & 2.87 & 2.61 & 4 & 3.78 & 3.44 & 1.32 ") == 6
