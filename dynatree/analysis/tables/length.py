"""Speed-up by number of new tokens."""

import pandas as pd

from dynatree.analysis.tables.scaling import scaling_table


def table(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate speed-up and tokens per round by number of new tokens."""
    summary = summary.assign(new_tokens=pd.to_numeric(summary["group"]))  # requested, not emitted
    return scaling_table(summary, "new_tokens", "New")
