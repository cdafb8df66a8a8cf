"""How well replays predict what was measured."""

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.replay_metrics import BASELINE, HERE, with_speedups
from dynatree.analysis.tables.booktabs import booktabs
from dynatree.analysis.tables.columns import Column, rounded

ALL = "all"
COLUMNS = (
    Column("median_error", "Seconds", 3, "median error"),
    Column("largest_error", "Seconds", 3, "largest error"),
    Column("median_speedup_error", "Speed-up", 3, "median error"),
    Column("largest_speedup_error", "Speed-up", 3, "largest error"),
    Column("other_share", "Other", 3, "share"),
)


def validation_table(replays: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Per method the errors of the predicted times and speed-ups of all requests, as shares of the measured ones."""
    frame = validation_frame(replays)
    header = ["Method", "Requests", *(column.title for column in COLUMNS)]
    units = ["", "", *(column.unit for column in COLUMNS)]
    lines = [
        [escape(row["label"]), str(row["requests"]), *(column.cell(row) for column in COLUMNS)]
        for _, row in frame.iterrows()
    ]
    groups = [(None, lines[:-1]), (None, lines[-1:])]
    return rounded(frame, ("case", "label", "requests"), COLUMNS), booktabs(header, groups, units)


def validation_frame(replays: pd.DataFrame) -> pd.DataFrame:
    """One row per case and one for all.

    It holds the median and the largest of the errors without sign, and the share of the time that was not predicted but
    taken from the records. The baseline's speed-up is no prediction.
    """
    here = with_speedups(replays[replays["machine"] == HERE])
    here.loc[here["case"] == BASELINE, "speedup_error"] = float("nan")
    parts = [(case, part["label"].iloc[0], part) for case, part in here.groupby("case", sort=False)]
    return pd.DataFrame([_row(*part) for part in [*parts, (ALL, "All", here)]])


def _row(case: str, label: str, part: pd.DataFrame) -> dict:
    errors, speedup_errors = part["error"].abs(), part["speedup_error"].abs()
    return {
        "case": case,
        "label": label,
        "requests": len(part),
        "median_error": errors.median(),
        "largest_error": errors.max(),
        "median_speedup_error": speedup_errors.median(),
        "largest_speedup_error": speedup_errors.max(),
        "other_share": (part["other_s"] / part["measured_s"]).mean(),
    }
