"""Speed-up over the length of text or prompt."""

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.tables.booktabs import booktabs, number
from dynatree.analysis.tables.columns import WORK, Column, rounded
from dynatree.config.jobs import BASELINE

BASE = (Column("throughput", "Tokens/s", 1), Column("looping_share", "Looping", 2))
OURS = (Column("speedup", "Speed-up", 2, "speed-up", bounded=True), Column("tokens_per_round", "", 2, "tok./rd."))
SHOWN = (
    Column("throughput", "Tokens/s", 1, bounded=True),
    Column("speedup", "Speed-up", 2, bounded=True),
    WORK,
    Column("speedup_p", "$p$", None),
    Column("tokens_per_round", "Tok./round", 2),
    Column("looping_share", "Looping", 2),
)


def scaling_table(summary: pd.DataFrame, size: str, title: str) -> tuple[pd.DataFrame, str]:
    """Tabulate baseline throughput, looping text, speed-up and tokens per round by data set and size.

    Args:
        summary: one row per size and case.
        size: column that holds the size.
        title: heading of the size, as LaTeX, above "tokens".
    """
    labels = dict(summary.loc[summary["case"] != BASELINE, ["case", "label"]].itertuples(index=False, name=None))
    header = [title, "Base", "Loops", *(text for label in labels.values() for text in (escape(label), ""))]
    units = ["tokens", "tok./s", "share", *(column.unit for _ in labels for column in OURS)]
    groups = [
        (escape(label), _lines(rows, size, list(labels)))
        for label, rows in summary.groupby("dataset_label", sort=False)
    ]
    keys = ("dataset_label", size, "case", "label", "prompts")
    return rounded(summary, keys, SHOWN), booktabs(header, groups, units)


def _lines(rows: pd.DataFrame, size: str, cases: list[str]) -> list[list[str]]:
    lines = []
    for value, at in rows.groupby(size):
        by_case = {row["case"]: row for _, row in at.iterrows()}
        line = [number(value, 0), *_cells(by_case.get(BASELINE), BASE)]
        lines.append(line + [text for case in cases for text in _cells(by_case.get(case), OURS)])
    return lines


def _cells(row: pd.Series | None, columns: tuple[Column, ...]) -> list[str]:
    return ["--" if row is None else column.cell(row) for column in columns]
