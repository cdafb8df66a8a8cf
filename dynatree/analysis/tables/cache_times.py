"""Latency and memory of generation with a compressed KV cache."""

import pandas as pd

from dynatree.analysis.tables.columns import Column
from dynatree.analysis.tables.compression import data, latex

COLUMNS = (
    Column("ttft_ms", "TTFT", 0, "ms"),
    Column("tpot_ms", "TPOT", 1, "ms"),
    Column("throughput", "Tokens/s", 1),
    Column("tpot_ratio", "TPOT", 3, "to full", bounded=True),
    Column("throughput_ratio", "Throughput", 3, "to full", bounded=True),
    Column("generation_cache_mib", "Cache", 1, "MiB, at the end"),
    Column("peak_mib", "Peak", 1, "MiB, no weights"),
)


def table(compression: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate every data set and case with timed generation; ratios are paired by text."""
    timed = compression[compression["throughput"].notna()]
    return data(timed, COLUMNS), latex(timed, COLUMNS)
