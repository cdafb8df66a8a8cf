"""Speed and looping text over the length of text or prompt."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from dynatree.analysis.figures.panels import case_colors, case_handles, cases, dataset_panels

QUANTITIES = {"throughput": "tokens/s", "speedup": "speed-up", "tokens_per_round": "tokens per round"}


def scaling_figure(summary: pd.DataFrame, title: str, log: bool) -> Figure:
    """Draw throughput, speed-up, tokens per round and looping text of every method over a length.

    Args:
        summary: one row per size and case; the column "size" holds the length.
        title: label of the axis of lengths.
        log: True for a logarithmic axis of lengths.
    """
    columns = len(QUANTITIES) + 1
    figure, panels = dataset_panels(summary, columns, 1.75, sharex=True, sharey="col", width_ratios=[1, 1, 1, 0.8])
    for dataset, row in panels.items():
        rows = summary[summary["dataset"] == dataset].sort_values("size", kind="stable")
        for axes, (quantity, label) in zip(row, QUANTITIES.items(), strict=False):
            _lines(axes, rows, quantity, case_colors(summary))
            axes.set_ylabel(label)
        row[1].axhline(1, color="black", linewidth=0.8)
        _looping(row[-1], rows)
    for axes in row:
        axes.set_ylim(bottom=0)  # shared by all data sets
        _size_axis(axes, sorted(summary["size"].unique()), log)
        axes.set_xlabel(title)
    loops = Line2D([], [], color="black", linestyle="--", marker=".", label="all methods: mean, range")
    figure.legend(handles=[*case_handles(summary, line=True), loops], loc="outside upper center", ncols=5, fontsize=8)
    return figure


def _lines(axes: Axes, rows: pd.DataFrame, quantity: str, colors: dict[str, str]) -> None:
    """Draw a line per case with the band of its interval."""
    for case in cases(rows):
        part = rows[rows["case"] == case]
        axes.plot(part["size"], part[quantity], color=colors[case], marker="o", markersize=3, linewidth=1.4)
        low, high = (part[f"{quantity}_{side}"] for side in ("low", "high"))
        axes.fill_between(part["size"], low, high, color=colors[case], alpha=0.18, linewidth=0)


def _looping(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the mean and the range of the share of looping text; cases differ only by rounding in half precision."""
    shares = rows.groupby("size")["looping_share"].agg(["mean", "min", "max"])
    axes.plot(shares.index, shares["mean"], color="black", linestyle="--", marker=".")
    axes.fill_between(shares.index, shares["min"], shares["max"], color="black", alpha=0.15, linewidth=0)
    axes.set_ylabel("looping share")
    axes.set_ylim(0, 1.03)


def _size_axis(axes: Axes, sizes: list[float], log: bool) -> None:
    """Set ticks at the measured sizes, from the largest down, where space permits."""
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    places = np.log(sizes) if log else np.asarray(sizes, dtype=float)
    shown = [len(sizes) - 1]
    for index in range(len(sizes) - 2, -1, -1):
        if places[shown[-1]] - places[index] >= 0.29 * np.ptp(places):
            shown.append(index)
    axes.set_xticks([sizes[i] for i in shown], [f"{sizes[i]:g}" for i in shown], fontsize=8)
