"""Speed-up of every prompt."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, ScalarFormatter

from dynatree.analysis.figures.panels import MARKERS, case_colors, cases, dataset_handles, datasets, name_rows
from dynatree.analysis.figures.style import plt
from dynatree.analysis.inference import geometric_mean
from dynatree.analysis.statistics import paired_ratios
from dynatree.config.jobs import AGAIN, BASELINE

TICKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.2, 1.5, 2, 2.5, 3, 4, 6, 8, 12)


def figure(requests: pd.DataFrame) -> Figure:
    """Draw the paired speed-up of every prompt, none left out, and the geometric means."""
    shown = requests[~requests["case"].isin((BASELINE, AGAIN))]
    names, sets = cases(shown), datasets(requests)
    colors, spread = case_colors(shown), 0.8 / len(sets)
    figure, axes = plt.subplots(figsize=(7.2, 1.1 + 0.24 * len(names) * len(sets)), layout="constrained")
    for row, case in enumerate(names):
        for index, dataset in enumerate(sets):
            rows = requests[requests["dataset"] == dataset]
            ratios = paired_ratios(rows, case, BASELINE, "throughput").to_numpy()
            y = row + (index - (len(sets) - 1) / 2) * spread
            _strip(axes, ratios, y, spread, colors[case], MARKERS[index % len(MARKERS)])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("throughput over autoregressive decoding on the same prompt (log scale)")
    name_rows(axes, list(names.values()))
    mean = Line2D([], [], color="black", linewidth=1.6, linestyle="", marker="|", markersize=9, label="geometric mean")
    figure.legend(handles=[*dataset_handles(requests), mean], loc="outside upper center", ncols=6)
    return figure


def _strip(axes: Axes, ratios: np.ndarray, y: float, height: float, color: str, marker: str) -> None:
    """Draw the ratios of one case on one data set; dots alternate over three lanes to reduce overlap."""
    if not len(ratios):
        return
    ratios = np.sort(ratios)
    lanes = y + (np.arange(len(ratios)) % 3 - 1) * height * 0.2
    axes.scatter(ratios, lanes, s=22, color=color, marker=marker, edgecolor="black", linewidth=0.4, zorder=3)
    mean = geometric_mean(ratios)
    axes.vlines(mean, y - height * 0.42, y + height * 0.42, color="black", linewidth=1.6, zorder=4)
