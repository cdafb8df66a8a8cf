"""Free drafters on recorded outputs, by tree size."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from dynatree.analysis.figures.panels import mark_one
from dynatree.analysis.figures.style import plain, plt, series_styles
from dynatree.analysis.tables.arena import totals

PANELS = {"tokens_per_round": "tokens per round", "speedup": "predicted speed-up over plain decoding"}


def figure(replays: pd.DataFrame) -> Figure:
    """Draw tokens per round and predicted speed-up by the maximum number of nodes, a line per drafter."""
    total = totals(replays)
    styles = series_styles(total["label"].unique())
    figure, panels = plt.subplots(1, len(PANELS), figsize=(7.2, 3.4), layout="constrained")
    for axes, (column, title) in zip(panels, PANELS.items(), strict=True):
        for label, rows in total.groupby("label", sort=False):
            axes.plot(rows["nodes"], rows[column], label=plain(label), linewidth=1.2, markersize=4, **styles[label])
        axes.set_xscale("log", base=2)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(sorted(total["nodes"].unique()), map(str, sorted(total["nodes"].unique())))
        axes.set_xlabel("maximum nodes of a tree")
        axes.set_ylabel(title)
        mark_one(axes, "y")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, fontsize=7.5)
    return figure
