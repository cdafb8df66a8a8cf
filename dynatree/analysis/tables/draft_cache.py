"""Decoding with a compressed KV cache of the draft."""

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.names import FACTORS
from dynatree.analysis.statistics import compare
from dynatree.analysis.tables.booktabs import booktabs, number
from dynatree.analysis.tables.columns import SPEEDUP, Column, rounded
from dynatree.config.compression_grid import FULL_CACHE
from dynatree.config.jobs import AGAIN, BASELINE

MEANS = (
    Column("draft_rows", "Rows", 0, "of the draft"),
    Column("acceptance_rate", "Accepted", 2, "share"),
    Column("tokens_per_round", "Tokens", 2, "/round"),
)
TO_FULL = {
    "tokens_per_round": Column("tokens_ratio", "Tokens/round", 3, "to full", bounded=True),
    "throughput": Column("throughput_ratio", "Throughput", 3, "to full", bounded=True),
}
COLUMNS = (*MEANS, TO_FULL["tokens_per_round"], SPEEDUP, TO_FULL["throughput"])


def table(requests: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate every policy with the full and with compressed draft caches, by data set and prompt length."""
    frame = draft_cache_frame(requests)
    groups = [
        (f"{escape(label)}, {limit:g} prompt tokens", [_line(row) for _, row in rows.iterrows()])
        for (label, limit), rows in frame.groupby(["dataset_label", "limit"], sort=False)
    ]
    header = ["Method", "Budget", *(column.title for column in COLUMNS)]
    keys = ("dataset_label", "case", "label", *FACTORS["draft_cache"], "pairs", "new_tokens")
    return rounded(frame, keys, COLUMNS), booktabs(header, groups, ["", "entries", *(c.unit for c in COLUMNS)])


def draft_cache_frame(requests: pd.DataFrame) -> pd.DataFrame:
    """Return one row per data set, prompt length and case with a draft.

    "speedup" is relative to autoregressive decoding. Other ratios are relative to the same policy with the full draft
    cache. All ratios are geometric means of ratios paired by prompt, with intervals. Other quantities are means.
    """
    return pd.DataFrame(
        _row(part, case)
        for _, part in requests.groupby(["dataset", "limit"], sort=False)
        for case in part["case"].unique()
        if case not in (BASELINE, AGAIN)
    )


def _row(requests: pd.DataFrame, case: str) -> dict:
    own = requests[requests["case"] == case]
    names = ("dataset", "dataset_label", "case", "label", *FACTORS["draft_cache"], "new_tokens")
    row = own.iloc[0][list(names)].to_dict() | {"pairs": own["prompt"].nunique()}
    row |= {column.name: own[column.name].mean() for column in MEANS}
    row |= _ratio(requests, case, BASELINE, "throughput", SPEEDUP.name)
    for quantity, column in TO_FULL.items():
        row |= _ratio(requests, case, row["policy"], quantity, column.name)
    return row


def _ratio(requests: pd.DataFrame, case: str, other: str, quantity: str, name: str) -> dict[str, float]:
    """Return the ratio and its bounds; NaN for the ratio of a case to itself."""
    if case == other:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    found = compare(requests, case, other, quantity)
    return {name: found.ratio, f"{name}_low": found.low, f"{name}_high": found.high}


def _line(row: pd.Series) -> list[str]:
    budget = "all" if row["cache"] == FULL_CACHE else number(row["budget"], 0)
    return [escape(row["label"]), budget, *(column.cell(row) for column in COLUMNS)]
