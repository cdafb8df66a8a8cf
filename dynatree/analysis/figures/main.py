"""Throughput and speed-up of every method."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dynatree.analysis.figures.panels import HATCHES, bounds, case_colors, case_rows, cases, datasets, name_rows
from dynatree.analysis.figures.style import plt


def figure(summary: pd.DataFrame) -> Figure:
    """Draw throughput and paired speed-up of every method on every data set, with 95 % intervals."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.9), sharey=True, layout="constrained")
    _bars(left, summary, "throughput", "{:.1f}")
    _bars(right, summary, "speedup", "{:.2f}")
    left.set_xlabel("throughput (tokens/s)")
    right.set_xlabel("paired speed-up over autoregressive")
    right.axvline(1, color="black", linewidth=0.8)
    figure.legend(handles=_legend(summary), loc="outside upper center", ncols=4)
    return figure


def _bars(axes: Axes, summary: pd.DataFrame, quantity: str, form: str) -> None:
    """Draw horizontal bars: a group per method, a bar per data set."""
    names = cases(summary)
    sets = datasets(summary)
    height = 0.8 / len(sets)
    highest = summary[[quantity, f"{quantity}_high"]].max(axis=None)
    for index, dataset in enumerate(sets):
        rows = case_rows(summary, dataset)
        y = np.arange(len(names)) + (index - (len(sets) - 1) / 2) * height
        axes.barh(
            y,
            rows[quantity],
            height * 0.9,
            xerr=bounds(rows, quantity),
            color=list(case_colors(summary).values()),
            hatch=HATCHES[index % len(HATCHES)],
            edgecolor="white",
            linewidth=0.5,
            error_kw={"elinewidth": 0.9, "capsize": 2},
        )
        for position, value, end in zip(
            y, rows[quantity], rows[f"{quantity}_high"].fillna(rows[quantity]), strict=True
        ):
            if not np.isnan(value):
                text = axes.text(end + highest * 0.02, position, form.format(value), va="center", fontsize=7)
                text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.6})
    name_rows(axes, list(names.values()))
    axes.set_xlim(0, highest * 1.18)


def _legend(summary: pd.DataFrame) -> list:
    return [
        Patch(facecolor="#777777", edgecolor="white", hatch=HATCHES[i % len(HATCHES)], label=label)
        for i, label in enumerate(datasets(summary).values())
    ]
