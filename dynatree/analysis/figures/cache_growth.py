"""Bytes of the cache over the length of the text."""

import pandas as pd
from matplotlib.figure import Figure

from dynatree.analysis.style import plt, series_styles
from dynatree.analysis.vocabulary import FULL_CACHE


def cache_growth_figure(growth: pd.DataFrame) -> Figure:
    """A line per method, at its smallest budget: what its tensors hold after each pass, all layers counted."""
    styles = series_styles(growth.loc[growth["case"] != FULL_CACHE, "method"].unique())
    figure, axes = plt.subplots(figsize=(7.2, 3.1), layout="constrained")
    for series, part in growth.groupby("method", sort=False):
        smallest = part["budget"].min()
        rows = part if pd.isna(smallest) else part[part["budget"] == smallest]
        style = {"color": "black", "linestyle": "--"} if series == FULL_CACHE else styles[series] | {"marker": ""}
        name = rows["label"].iloc[0] + ("" if pd.isna(smallest) else f", {smallest:g} rows")
        axes.plot(rows["seen"], rows["cache_mib"], linewidth=1.3, label=name, **style)
    axes.set_xlabel("tokens read")
    axes.set_ylabel("cache, MiB")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure
