"""Perplexity with a compressed KV cache."""

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.tables.booktabs import booktabs, number
from dynatree.analysis.tables.columns import Column, per_dataset, rounded

COLUMNS = (
    Column("perplexity", "Perplexity", 2, bounded=True),
    Column("perplexity_ratio", "Ratio", 3, "to full", bounded=True),
    Column("accuracy_change", "Accuracy", 3, "change", bounded=True),
    Column("rows", "Entries", 0, "max. of a head"),
    Column("mean_rows", "Entries", 0, "mean, at the end"),
    Column("cache_mib", "Cache", 1, "MiB"),
)
NAMES = ("dataset_label", "case", "label", "budget", "tokens", "chunk", "texts", "prompt_tokens", "new_tokens")


def table(compression: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate every data set and case with a perplexity, with intervals over texts."""
    read = compression[compression["perplexity"].notna()]
    return data(read, COLUMNS), latex(read, COLUMNS)


def data(rows: pd.DataFrame, columns: tuple[Column, ...]) -> pd.DataFrame:
    """Return the content of the table as data."""
    return rounded(rows, NAMES, columns)


def latex(rows: pd.DataFrame, columns: tuple[Column, ...]) -> str:
    """Return a table with method, budget and ``columns``, one block per data set."""
    groups = per_dataset(
        rows, lambda row: [escape(row["label"]), number(row["budget"], 0), *(column.cell(row) for column in columns)]
    )
    header = ["Method", "Budget", *(column.title for column in columns)]
    return booktabs(header, groups, ["", "entries", *(column.unit for column in columns)])
