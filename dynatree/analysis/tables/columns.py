"""Columns of tables, defined once for data and LaTeX."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.tables.booktabs import Group, booktabs, cell, p_value


@dataclass(frozen=True)
class Column:
    """A quantity shown in a table.

    Attributes:
        name: column of the data.
        title: LaTeX source.
        decimals: None for a p-value.
        unit: LaTeX source, shown in small print below the title.
        bounded: True to show the interval NAME_low to NAME_high.
    """

    name: str
    title: str
    decimals: int | None = 2
    unit: str = ""
    bounded: bool = False

    def cell(self, row: pd.Series) -> str:
        """Return the quantity of a row as LaTeX."""
        return p_value(row[self.name]) if self.decimals is None else cell(row, self.name, self.decimals, self.bounded)


def rounded(frame: pd.DataFrame, keys: Sequence[str], columns: Sequence[Column]) -> pd.DataFrame:
    """Return ``keys`` and the columns as shown, rounded, with bounds where they have them; p-values are not rounded."""
    names = {c: [c.name, f"{c.name}_low", f"{c.name}_high"] if c.bounded else [c.name] for c in columns}
    shown = frame[[*keys, *(name for group in names.values() for name in group)]].copy()
    for column, group in names.items():
        if column.decimals is not None:
            shown[group] = shown[group].round(column.decimals)
    return shown


def per_dataset(frame: pd.DataFrame, line: Callable[[pd.Series], list[str]]) -> list[Group]:
    """Return one group of rows per data set, in order of appearance."""
    return [
        (escape(label), [line(row) for _, row in rows.iterrows()])
        for label, rows in frame.groupby("dataset_label", sort=False)
    ]


def case_table(frame: pd.DataFrame, columns: Sequence[Column], title: str = "Method") -> str:
    """Return the LaTeX of a table with one row per data set and case; ``title`` is LaTeX and heads the labels."""
    groups = per_dataset(frame, lambda row: [escape(row["label"]), *(column.cell(row) for column in columns)])
    units = ["", *(column.unit for column in columns)]
    return booktabs([title, *(column.title for column in columns)], groups, units if any(units) else None)


SPEEDUP = Column("speedup", "Speed-up", 2, bounded=True)
WORK = Column("work_speedup", "Work", 2)  # the speed-up that T(n) predicts
CASE = ("dataset_label", "case", "label", "prompts", "new_tokens")
