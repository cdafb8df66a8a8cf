"""Scaling with the length of the prompt."""

import pandas as pd

from dynatree.analysis.tables.scaling import scaling_table


def prompt_length_table(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Speed-up and tokens per round over the length of the prompt."""
    return scaling_table(summary, "limit", "Prompt")
