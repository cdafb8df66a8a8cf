"""Throughput and speed-up of every method."""

import pandas as pd

from dynatree.analysis.tables.columns import CASE, SPEEDUP, WORK, Column, case_table, rounded

COLUMNS = (
    Column("throughput", "Tokens/s", 1, bounded=True),
    SPEEDUP,
    WORK,
    Column("speedup_p", "$p$", None),
    Column("speedup_effect", "$d_z$", 2),
    Column("tokens_per_round", "Tok./round", 2),
    Column("acceptance_rate", "Accept.", 2),
)
ONLY_DATA = (Column("ttft_ms", "TTFT", 0), Column("tpot_ms", "TPOT", 1))  # typeset in the latency table


def table(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate throughput, speed-up with test and effect size, tokens per round and acceptance rate of every method."""
    return rounded(summary, CASE, (*COLUMNS, *ONLY_DATA)), case_table(summary, COLUMNS)
