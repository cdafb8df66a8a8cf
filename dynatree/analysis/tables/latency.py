"""Time to first token and time per further token, by component."""

import pandas as pd

from dynatree.analysis.tables.columns import CASE, Column, case_table, rounded

PARTS = ("draft", "verify", "other")
COLUMNS = (
    Column("ttft_ms", "TTFT", 1, bounded=True),
    Column("tpot_ms", "TPOT", 2, bounded=True),
    Column("draft_ms_per_token", "Draft", 2),
    Column("verify_ms_per_token", "Verify", 2),
    Column("other_ms_per_token", "Other", 2),
)


def table(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate time to first token and time per further token in milliseconds, with the components of the latter."""
    frame = split_tpot(summary)
    return rounded(frame, CASE, COLUMNS), case_table(frame, COLUMNS)


def split_tpot(summary: pd.DataFrame) -> pd.DataFrame:
    """Return ``summary`` with draft_ms_per_token, verify_ms_per_token and other_ms_per_token, which add up to TPOT.

    The time per further token is divided in proportion to the components of a request after prefill. Engines that do
    not measure these components have NaN.
    """
    whole = sum(summary[f"{part}_ms"] for part in PARTS)
    split = {f"{part}_ms_per_token": summary["tpot_ms"] * summary[f"{part}_ms"] / whole for part in PARTS}
    return summary.assign(**split)
