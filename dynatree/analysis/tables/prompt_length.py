"""Speed-up by prompt length."""

import pandas as pd

from dynatree.analysis.tables.scaling import scaling_table


def table(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate speed-up and tokens per round by prompt length."""
    return scaling_table(summary, "limit", "Prompt")
