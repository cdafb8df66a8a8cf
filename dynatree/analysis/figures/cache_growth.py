"""Size of the KV cache by number of tokens read."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from dynatree.analysis.figures.style import SERIES, plain, plt, series_styles
from dynatree.config.compression_grid import FULL_CACHE

DASHES = tuple((2 * place, (2, 6)) for place in range(4))  # each fills gaps of the others


def figure(growth: pd.DataFrame) -> Figure:
    """Draw a line per method at its smallest budget: the size of its tensors in all layers after each forward pass."""
    methods = growth.loc[growth["case"] != FULL_CACHE, "method"].unique()
    dashes = {  # lines of equal budgets overlap; colors repeat with other dashes
        name: DASHES[(number + number // len(SERIES)) % len(DASHES)] for number, name in enumerate(methods)
    }
    styles = {name: style | {"marker": "", "linestyle": dashes[name]} for name, style in series_styles(methods).items()}
    figure, axes = plt.subplots(figsize=(7.2, 3.1), layout="constrained")
    for series, part in growth.groupby("method", sort=False):
        smallest = part["budget"].min()
        rows = part if pd.isna(smallest) else part[part["budget"] == smallest]
        style: dict[str, Any] = {"color": "black"} if series == FULL_CACHE else styles[series]
        name = plain(rows["label"].iloc[0]) + ("" if pd.isna(smallest) else f", {smallest:g} entries")
        axes.plot(rows["seen"], rows["cache_mib"], linewidth=1.6, label=name, **style)
    axes.set_xlabel("tokens read")
    axes.set_ylabel("KV cache (MiB)")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    figure.legend(loc="outside right upper", fontsize=8, handlelength=4)
    return figure
