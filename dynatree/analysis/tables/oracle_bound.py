"""Throughput relative to the oracle bound of tree sizes."""

import pandas as pd

from dynatree.analysis.inference import geometric_mean, interval
from dynatree.analysis.latex import escape
from dynatree.analysis.oracle_bound import with_shares
from dynatree.analysis.tables.booktabs import booktabs
from dynatree.analysis.tables.columns import Column, rounded

COLUMNS = (
    Column("attained", "Attained", 1, "tok./s"),
    Column("oracle", "Oracle", 1, "tok./s"),
    Column("share", "Share", 3, "of oracle", bounded=True),
    Column("chosen_share", "Share", 3, "models alone", bounded=True),
    Column("attained_size", "Nodes", 1, "per round"),
    Column("oracle_size", "Nodes", 1, "of oracle"),
)


def table(bounds: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate rates, shares and tree sizes by number of new tokens and method, over all data sets."""
    frame = bound_frame(bounds)
    header = ["Method", *(column.title for column in COLUMNS)]
    units = ["", *(column.unit for column in COLUMNS)]
    groups = [
        (f"{size} new tokens", [[escape(row["label"]), *(c.cell(row) for c in COLUMNS)] for _, row in rows.iterrows()])
        for size, rows in frame.groupby("new_tokens")
    ]
    return rounded(frame, ("new_tokens", "case", "label", "pairs"), COLUMNS), booktabs(header, groups, units)


def bound_frame(bounds: pd.DataFrame) -> pd.DataFrame:
    """Return one row per number of new tokens and case.

    Rates and sizes are means over prompts, shares are geometric means with intervals. Repetitions of a prompt count
    once, by their median.
    """
    found = with_shares(bounds).assign(
        new_tokens=lambda rows: pd.to_numeric(rows["group"]),
        attained_size=lambda rows: rows["attained_nodes"] / rows["rounds"],
        oracle_size=lambda rows: rows["oracle_nodes"] / rows["rounds"],
    )
    rows = []
    for (size, case), part in found.groupby(["new_tokens", "case"], sort=False):
        prompts = part.groupby(["dataset", "prompt"]).median(numeric_only=True)
        row = {"new_tokens": size, "case": case, "label": part["label"].iloc[0], "pairs": len(prompts)}
        row |= {column.name: prompts[column.name].mean() for column in COLUMNS if not column.bounded}
        for name in (column.name for column in COLUMNS if column.bounded):
            bounds_of = interval(prompts[name], geometric_mean)
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), bounds_of, strict=True))
        rows.append(row)
    return pd.DataFrame(rows).sort_values("new_tokens", kind="stable", ignore_index=True)
