"""Latency of a forward pass by number of tokens."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from dynatree.analysis.figures.style import COLORS, plt

LAYERS = {"stock": COLORS["chain"], "small_batch": COLORS["dynatree"]}
LINES = ("-", "--", ":")
TICKS = (1, 2, 4, 8, 16, 32, 64)


def figure(latency: pd.DataFrame) -> Figure:
    """Draw the latency of a forward pass by its new tokens; a panel per model, a line per layer kind and context."""
    models = list(dict.fromkeys(latency["model"]))
    figure, panels = plt.subplots(1, len(models), figsize=(7.2, 2.9), squeeze=False, layout="constrained")
    for axes, model in zip(panels[0], models, strict=True):
        _lines(axes, latency[latency["model"] == model])
        axes.set_title(model, fontsize=9)
        axes.set_xlabel("new tokens")
        axes.set_ylabel("ms")
        axes.set_ylim(bottom=0)
    handles, names = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3)
    return figure


def _lines(axes: Axes, rows: pd.DataFrame) -> None:
    for (backend, context), part in rows.groupby(["backend", "context"], sort=False):
        line = LINES[list(rows["context"].unique()).index(context) % len(LINES)]
        label = f"{backend}, {context} cached"
        axes.plot(part["new"], part["ms"], line, color=LAYERS[backend], marker=".", linewidth=1.2, label=label)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(TICKS, map(str, TICKS))
