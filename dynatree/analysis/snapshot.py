"""The README's table of a real run."""

from pathlib import Path

import pandas as pd

from dynatree.analysis.tables import DECIMALS, number
from dynatree.errors import DynatreeError

BEGIN, END = "<!-- snapshot -->\n", "<!-- end of snapshot -->"
HEADER = ("Method", "Tokens/s", "Speed-up", "Tokens/round", "Acceptance", "TTFT (ms)", "TPOT (ms)")


def markdown(path: Path) -> str:
    """The main comparison in ``path`` (what :func:`tables.main_table` makes) as Markdown, a table per data set."""
    tables = []
    for label, rows in pd.read_csv(path).groupby("dataset_label", sort=False):
        prompts, new_tokens = rows[["prompts", "new_tokens"]].iloc[0]
        lines = [
            f"{label}: {prompts} prompts, {new_tokens} new tokens each",
            "",
            f"| {' | '.join(HEADER)} |",
            f"|---|{'---:|' * (len(HEADER) - 1)}",
            *(_row(row) for _, row in rows.iterrows()),
        ]
        tables.append("\n".join(lines))
    return "\n\n".join(tables) + "\n"


def _row(row: pd.Series) -> str:
    cells = [row["label"]]
    for name, decimals in DECIMALS.items():
        cell = number(row[name], decimals)
        if f"{name}_low" in row:
            cell += f" [{number(row[f'{name}_low'], decimals)}, {number(row[f'{name}_high'], decimals)}]"
        cells.append(cell.replace("--", "-"))
    return f"| {' | '.join(cells)} |"


def insert(readme: str, table: str) -> str:
    """``readme`` with what stands between the snapshot marks replaced by ``table``."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise DynatreeError(f"the README has no place for the table: {BEGIN.strip()} and {END} are missing")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"
