"""Fixed trees with and without pruning."""

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.names import FACTORS
from dynatree.analysis.tables.booktabs import booktabs
from dynatree.analysis.tables.columns import SPEEDUP, WORK, Column, per_dataset, rounded
from dynatree.config.jobs import BASELINE

COLUMNS = (
    Column("throughput", "Tokens/s", 1),
    SPEEDUP,
    WORK,
    Column("speedup_p", "$p$", None),
    Column("tokens_per_round", "Tokens", 2, "/round", bounded=True),
    Column("verified_per_token", "Nodes", 2, "/token"),
    Column("draft_precision", "Prec.", 2),
)


def table(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate per data set the baseline, and every depth without pruning and with every threshold."""
    frame = summary.astype({"depth": "Int64", "branch": "Int64"})
    lines = frame.assign(first=~frame.duplicated(["dataset", "depth"]))
    header = ["Depth", "Pruned below", *(column.title for column in COLUMNS)]
    latex = booktabs(header, per_dataset(lines, _line), ["", "", *(column.unit for column in COLUMNS)])
    keys = ("dataset_label", "case", "label", *FACTORS["pruning"], "prompts", "new_tokens")
    return rounded(frame, keys, COLUMNS), latex


def _line(row: pd.Series) -> list[str]:
    if row["case"] == BASELINE:
        names = [escape(row["label"]), "--"]
    else:
        names = [str(row["depth"]) if row["first"] else "", f"{row['threshold']:g}" if row["threshold"] else "not"]
    return [*names, *(column.cell(row) for column in COLUMNS)]
