"""Kinds of attention heads by layer."""

import pandas as pd

from dynatree.analysis.heads import counts, layer_parts
from dynatree.analysis.latex import escape
from dynatree.analysis.tables.booktabs import booktabs, number
from dynatree.heads.classification import KINDS


def table(heads: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate kinds, mean entropy, mean sink mass and windows of the heads, by third of the layers and in total.

    Args:
        heads: one row per head.
    """
    frame = pd.DataFrame([_summary(name, rows) for name, rows in [*layer_parts(heads), ("all", heads)]])
    lines = [_line(row) for _, row in frame.iterrows()]
    header = ["Layers", "Heads", *(kind.capitalize() for kind in KINDS), "Entropy", "Sink", "With a", "Median"]
    units = ["", *[""] * (len(KINDS) + 1), "nats", "mass", "window", "window"]
    body = booktabs(header, [(None, lines[:-1]), (None, lines[-1:])], units)
    return frame.round({"entropy": 3, "sink_mass": 3}), body


def _summary(name: str, rows: pd.DataFrame) -> dict:
    return {
        "layers": name,
        "heads": len(rows),
        **counts(rows),
        "entropy": rows["entropy"].mean(),
        "sink_mass": rows["sink"].mean(),
        "with_window": int(rows["window"].notna().sum()),
        "median_window": rows["window"].median(),
    }


def _line(row: pd.Series) -> list[str]:
    kinds = [str(row[kind]) for kind in KINDS]
    masses = [number(row["entropy"], 2), number(row["sink_mass"], 2)]
    windows = [str(row["with_window"]), number(row["median_window"], 0)]
    return [escape(row["layers"].capitalize()), str(row["heads"]), *kinds, *masses, *windows]
