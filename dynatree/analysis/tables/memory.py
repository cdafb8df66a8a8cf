"""Peak memory by component."""

import pandas as pd

from dynatree.analysis.tables.columns import CASE, Column, case_table, rounded

COLUMNS = (
    Column("weights_target_mib", "Target", 1, "weights"),
    Column("weights_draft_mib", "Draft", 1, "weights"),
    Column("cache_target_mib", "Target", 1, "cache"),
    Column("cache_draft_mib", "Draft", 1, "cache"),
    Column("logits_mib", "Logits", 1),
    Column("other_mib", "Other", 1),
    Column("peak_mib", "Peak", 1, "MiB"),
    Column("over_baseline", "Ratio", 2, "to baseline"),
)


def table(memory: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate the peak memory of every method and its components, in MiB."""
    return rounded(memory, (*CASE, "how"), COLUMNS), case_table(memory, COLUMNS)
