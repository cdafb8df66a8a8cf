"""Where the time of a request goes."""

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


def latency_table(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Times to the first token and per token after it, in milliseconds, and what the latter consist of."""
    frame = split_tpot(summary)
    return rounded(frame, CASE, COLUMNS), case_table(frame, COLUMNS)


def split_tpot(summary: pd.DataFrame) -> pd.DataFrame:
    """``summary`` with draft_ms_per_token, verify_ms_per_token and other_ms_per_token, which add up to TPOT.

    The time per token after the first is divided in the proportion of the parts of a request after prefill. Engines
    that do not measure these parts have NaN.
    """
    whole = sum(summary[f"{part}_ms"] for part in PARTS)
    split = {f"{part}_ms_per_token": summary["tpot_ms"] * summary[f"{part}_ms"] / whole for part in PARTS}
    return summary.assign(**split)
