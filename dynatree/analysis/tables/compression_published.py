"""Published numbers on KV-cache compression beside those of this run."""

import math

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.names import AS_THERE
from dynatree.analysis.tables.booktabs import booktabs, number
from dynatree.config.compression_grid import FULL_CACHE

NEAR = 0.01  # largest relative difference of comparable numbers of tokens
PROTOCOLS = {
    "eviction": "eviction, first two layers uncompressed",
    "mask": "masks over a full cache",
    "norms": "eviction, first two layers uncompressed, float32",
    "Apple GPU": "eviction, on an Apple GPU",
}
NAMES = {
    "streaming_llm": "Sinks and recent",
    "sliding_window": "Recent only",
    "head_aware": "Head-aware",
    "l2_norm_recent": "Low norms and recent",
}


def table(compression: pd.DataFrame, published: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate every published perplexity relative to its full cache, and ours for equally many entries.

    Ours is divided by the published ratio only for the same model, texts of the same length, and the same uncompressed
    layers.
    """
    theirs = published[published["metric"] == "perplexity"]
    ours = compression[compression["perplexity"].notna()]
    full = theirs[theirs["method"] == FULL_CACHE].set_index(["protocol", "tokens"])["value"]
    rows = [_row(row, full, ours) for _, row in theirs[theirs["method"] != FULL_CACHE].iterrows()]
    frame = pd.DataFrame(rows)
    groups = [
        (escape(f"{model}, {tokens} tokens, {PROTOCOLS[protocol]}"), [_line(row) for _, row in part.iterrows()])
        for (model, tokens, protocol), part in frame.groupby(["model", "tokens", "protocol"], sort=False)
    ]
    header = ["Kept", "Rows", "Perplexity", "Ratio", "This run", "Over"]
    units = ["", "per head", "original", "to full, original", escape(ours["model"].iloc[0]), "the original's"]
    return frame.round({"ratio": 4, "ours": 4, "over": 4}), booktabs(header, groups, units)


def _row(row: pd.Series, full: pd.Series, ours: pd.DataFrame) -> dict:
    names = {name: row[name] for name in ("dataset", "model", "protocol", "tokens", "method", "rows")}
    ratio = row["value"] / full.get((row["protocol"], row["tokens"]), math.nan)
    found = ours[(ours["stands_for"] == row["dataset"]) & (ours["budget"] == row["rows"])]
    alike = found[found["method"] == row["method"] + AS_THERE]
    shown = alike if len(alike) else found[found["method"] == row["method"]]
    value = shown["perplexity_ratio"].iloc[0] if len(shown) else math.nan
    same = len(alike) and alike["model"].iloc[0] == row["model"] and row["protocol"] == "eviction"
    same = same and abs(alike["tokens"].iloc[0] / row["tokens"] - 1) < NEAR
    return names | {
        "perplexity": row["value"],
        "ratio": ratio,
        "ours": value,
        "over": value / ratio if same else math.nan,
    }


def _line(row: pd.Series) -> list[str]:
    values = [number(row[name], 3) for name in ("perplexity", "ratio", "ours", "over")]
    return [escape(NAMES[row["method"]]), number(row["rows"], 0), *values]
