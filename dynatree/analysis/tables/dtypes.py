"""Throughput and speed-up by number format."""

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.tables.booktabs import booktabs
from dynatree.analysis.tables.columns import Column, per_dataset, rounded

COLUMNS = (
    Column("throughput", "Tokens/s", 1, bounded=True),
    Column("speedup", "Speed-up", 2, bounded=True),
    Column("tokens_per_round", "Tok./round", 2),
)
MARGIN = Column("margin", "Margin", 3, "logits")


def table(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate throughput, speed-up, outputs identical to the baseline, and the largest logit gap by number format."""
    header = ["Format", "Method", *(column.title for column in COLUMNS), "Identical", MARGIN.title]
    units = ["", "", *(column.unit for column in COLUMNS), "outputs", MARGIN.unit]
    first = ~summary.duplicated(["dataset_label", "dtype"])
    groups = per_dataset(summary.assign(first=first), _line)
    keys = ("dataset_label", "dtype", "case", "label", "prompts", "new_tokens", "identical")
    latex = booktabs(header, groups, units, columns="@{}ll" + "r" * (len(header) - 2) + "@{}")
    return rounded(summary, keys, (*COLUMNS, MARGIN)), latex


def _line(row: pd.Series) -> list[str]:
    return [
        escape(row["dtype"]) if row["first"] else "",
        escape(row["label"]),
        *(column.cell(row) for column in COLUMNS),
        f"{row['identical']}/{row['prompts']}",
        MARGIN.cell(row),
    ]
