"""Latency of a forward pass by number of tokens, and the share of the read bandwidth that it attains."""

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.tables.booktabs import booktabs, number

NAMES = {"target": "Target", "draft": "Draft"}


def table(latency: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate a forward pass over n tokens by model and layer kind, at the middle measured context.

    Each model and layer kind has its milliseconds and the rate at which it reads the weights as a percentage of the
    read bandwidth of the machine.
    """
    frame = with_shares(latency)
    contexts = sorted(frame["context"].unique())
    context = contexts[len(contexts) // 2]
    shown = frame[frame["context"] == context]
    columns = list(dict.fromkeys(zip(shown["model"], shown["backend"], strict=True)))
    found = shown.set_index(["model", "backend", "new"])[["ms", "share"]]
    lines = [
        [str(new), *(cell for column in columns for cell in _cells(found, (*column, new)))]
        for new in sorted(shown["new"].unique())
    ]
    header = ["New tokens", *(title for model, _ in columns for title in (NAMES[model], ""))]
    units = ["", *(unit for _, backend in columns for unit in (f"{escape(backend)}, ms", r"\% of read"))]
    bandwidth = number(frame["machine_gb_per_s"].iloc[0], 1)
    title = f"after {context} cached tokens; the machine reads {bandwidth} GB/s"
    return frame.round({"ms": 2, "gb_per_s": 2, "machine_gb_per_s": 2, "share": 3}), booktabs(
        header, [(title, lines)], units
    )


def with_shares(latency: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with "share", the attained share of the machine's read bandwidth."""
    return latency.assign(share=latency["gb_per_s"] / latency["machine_gb_per_s"])


def _cells(found: pd.DataFrame, key: tuple) -> tuple[str, str]:
    ms, share = found.loc[key] if key in found.index else (float("nan"),) * 2
    return number(ms, 1), number(100 * share, 0)
