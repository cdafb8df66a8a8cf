"""Sensitivity of DynaTree to its parameters."""

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.names import FACTORS
from dynatree.analysis.tables.booktabs import booktabs
from dynatree.analysis.tables.columns import SPEEDUP, WORK, Column, per_dataset, rounded

CATEGORIES = {"thresholds": "Thresholds", "branches": "Branches", "depths": "Depths", "cross": "All together"}
COLUMNS = (
    Column("throughput", "Tokens/s", 1),
    SPEEDUP,
    WORK,
    Column("speedup_p", "$p$", None),
    Column("tokens_per_round", "Tokens", 2, "/round"),
    Column("verified_per_token", "Nodes", 2, "/token"),
    Column("acceptance_rate", "Acc.", 2),
)


def table(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate per data set the references, and every setting with its changed parameters.

    Settings that change all parameters list confidence thresholds, branches and depths.
    """
    frame = summary.astype(dict.fromkeys(("min_branch", "max_branch", "base_depth", "max_depth"), "Int64"))
    lines = frame.assign(first=~frame.duplicated(["dataset", "category"]))
    header = ["Parameters", "Setting", *(column.title for column in COLUMNS)]
    units = ["", "", *(column.unit for column in COLUMNS)]
    latex = booktabs(header, per_dataset(lines, _line), units, columns="@{}ll" + "r" * len(COLUMNS) + "@{}")
    keys = ("dataset_label", "case", "label", *FACTORS["sensitivity"], "prompts", "new_tokens")
    return rounded(frame, keys, COLUMNS), latex


def _line(row: pd.Series) -> list[str]:
    if row["category"] not in CATEGORIES:
        names = [escape(row["label"]), ""]
    else:
        names = [CATEGORIES[row["category"]] if row["first"] else "", _setting(row)]
    return [*names, *(column.cell(row) for column in COLUMNS)]


def _setting(row: pd.Series) -> str:
    if row["category"] != "cross":
        return escape(row["setting"]).replace("-", "--")
    thresholds = f"{row['high_confidence']:g}/{row['low_confidence']:g}"
    ranges = f"{row['min_branch']}--{row['max_branch']}, {row['base_depth']}--{row['max_depth']}"
    return rf"{escape(row['setting'].replace('_', ' '))} {{\scriptsize ({thresholds}, {ranges})}}"
