"""Passkey retrieval by position of the hidden number."""

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.tables.booktabs import booktabs, number


def table(passkey: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate numbers found of those asked for, by case and length; a column per position in the text."""
    depths = sorted(passkey["depth"].unique())
    groups = []
    for length, of_length in passkey.groupby("length", sort=True):
        lines = [_line(rows, depths) for _, rows in of_length.groupby("case", sort=False)]
        groups.append((f"{length} tokens", lines))
    header = ["Method", "Budget", *(f"at {depth:g}" for depth in depths), "all"]
    body = booktabs(header, groups, ["", "entries", *[""] * (len(depths) + 1)])
    return passkey.round({"share": 4}), body


def _line(rows: pd.DataFrame, depths: list[float]) -> list[str]:
    places = rows.set_index("depth")
    cells = [f"{places['found'][depth]}/{places['asked'][depth]}" for depth in depths]
    first = rows.iloc[0]
    total = f"{rows['found'].sum()}/{rows['asked'].sum()}"
    return [escape(first["label"]), number(first["budget"], 0), *cells, total]
