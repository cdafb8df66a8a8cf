"""Scaling with the number of new tokens."""

import pandas as pd

from dynatree.analysis.tables.scaling import scaling_table


def length_table(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Speed-up and tokens per round over the number of new tokens."""
    summary = summary.assign(new_tokens=pd.to_numeric(summary["group"]))  # what was asked for, not what was emitted
    return scaling_table(summary, "new_tokens", "New")
