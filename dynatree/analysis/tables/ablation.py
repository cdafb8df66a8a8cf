"""Contribution of each component of DynaTree."""

import json

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.tables.booktabs import booktabs
from dynatree.analysis.tables.columns import SPEEDUP, WORK, Column, per_dataset, rounded

EQUAL_DEPTH = "equal_depth"
COLUMNS = (
    Column("throughput", "Tokens/s", 1),
    SPEEDUP,
    WORK,
    Column("speedup_p", "$p$", None),
    Column("tokens_per_round", "Tokens", 2, "/round", bounded=True),
    Column("verified_per_token", "Nodes", 2, "/token"),
    Column("acceptance_rate", "Acc.", 2),
)


def table(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate per data set the baseline, the steps at the published depths, and those at equal depth.

    The depth is that of the longest path, or the base and the maximum depth if it adapts.
    """
    frame = summary.assign(depth=summary["options"].map(_depth))
    lines = frame.sort_values("setting", key=lambda setting: setting == EQUAL_DEPTH, kind="stable")
    header = ["Step", "Depth", *(column.title for column in COLUMNS)]
    latex = booktabs(header, per_dataset(lines, _line), ["", "", *(column.unit for column in COLUMNS)])
    keys = ("dataset_label", "case", "label", "step", "setting", "depth", "prompts", "new_tokens")
    return rounded(frame, keys, COLUMNS), latex


def _depth(options: str) -> str:
    """Return the depth that a policy's options (JSON) permit; empty without a tree."""
    chosen = json.loads(options)
    if chosen.get("adapt_depth", "max_depth" in chosen):
        return f"{chosen['base_depth']}-{chosen['max_depth']}"
    return str(chosen.get("base_depth", chosen.get("depth", "")))


def _line(row: pd.Series) -> list[str]:
    label = escape(row["label"]) + (", equal depth" if row["setting"] == EQUAL_DEPTH else "")
    depth = row["depth"].replace("-", "--") or "--"
    return [label, depth, *(column.cell(row) for column in COLUMNS)]
