"""Perplexity by size of the KV cache."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from dynatree.analysis.figures.panels import bounds
from dynatree.analysis.figures.style import plain, plt, series_styles
from dynatree.analysis.names import AS_THERE
from dynatree.config.compression_grid import FULL_CACHE


def figure(compression: pd.DataFrame) -> Figure:
    """Draw the perplexity relative to the full cache, paired by text, by budget; one panel per data set.

    Methods with a budget are lines. Methods without one, and those that keep complete layers, are shown at their mean
    number of entries at the end of a text.
    """
    datasets = list(compression["dataset"].unique())
    styles = series_styles(compression.loc[compression["case"] != FULL_CACHE, "method"].unique())
    size = (7.2, 3.3)
    figure, panels = plt.subplots(1, len(datasets), figsize=size, squeeze=False, sharey=True, layout="constrained")
    for axes, dataset in zip(panels[0], datasets, strict=True):
        rows = compression[(compression["dataset"] == dataset) & compression["perplexity"].notna()]
        _panel(axes, rows[rows["case"] != FULL_CACHE], styles)
        axes.set_title(plain(rows["dataset_label"].iloc[0]), fontsize=9)
    panels[0][0].set_ylabel("perplexity relative to the full cache")
    handles, names = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, fontsize=8)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, styles: dict[str, dict]) -> None:
    for series, part in rows.groupby("method", sort=False):
        sizes = part["mean_rows"] if series.endswith(AS_THERE) else part["budget"].fillna(part["mean_rows"])
        part = part.assign(at=sizes).sort_values("at")
        line = {**styles[series], "linewidth": 1.2, "markersize": 4, "capsize": 2, "elinewidth": 0.8}
        label = plain(part["label"].iloc[0])
        axes.errorbar(part["at"], part["perplexity_ratio"], bounds(part, "perplexity_ratio"), label=label, **line)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    ticks = [
        tick
        for tick in (0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 4, 6, 10, 20, 50, 100)
        if 0.95 * _lowest(rows) <= tick <= 1.2 * _highest(rows)
    ]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    sizes = sorted(rows["budget"].dropna().unique())
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("entries per head")


def _highest(rows: pd.DataFrame) -> float:
    return rows[["perplexity_ratio", "perplexity_ratio_high"]].max(axis=None)


def _lowest(rows: pd.DataFrame) -> float:
    return rows[["perplexity_ratio", "perplexity_ratio_low"]].min(axis=None)
