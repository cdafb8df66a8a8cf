"""Latency of a forward pass by number of tokens."""

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.tables.booktabs import booktabs, number

NAMES = {"target": "Target", "draft": "Draft"}


def table(latency: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate milliseconds of a forward pass over n tokens by model and layer kind, at the middle measured context."""
    contexts = sorted(latency["context"].unique())
    context = contexts[len(contexts) // 2]
    shown = latency[latency["context"] == context]
    columns = list(dict.fromkeys(zip(shown["model"], shown["backend"], strict=True)))
    times = shown.set_index(["model", "backend", "new"])["ms"]
    widths = sorted(shown["new"].unique())
    lines = [[str(new), *(number(times.get((*column, new), float("nan")), 1) for column in columns)] for new in widths]
    header = ["New tokens", *(NAMES[model] for model, _ in columns)]
    units = ["", *(f"{escape(backend)}, ms" for _, backend in columns)]
    return latency.round({"ms": 2}), booktabs(header, [(f"after {context} cached tokens", lines)], units)
