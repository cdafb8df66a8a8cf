"""Figures of the paper."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynatree.analysis.style import COLORS, OTHER, plt

HATCHES = ("", "///", "...", "xxx")


def main_figure(summary: pd.DataFrame) -> Figure:
    """Throughput and paired speed-up of every method on every data set, with 95 % intervals."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.9), sharey=True, layout="constrained")
    _bars(left, summary, "throughput", "{:.1f}")
    _bars(right, summary, "speedup", "{:.2f}")
    left.set_xlabel("throughput (tokens/s)")
    right.set_xlabel("paired speed-up over autoregressive")
    right.axvline(1, color="black", linewidth=0.8)
    figure.legend(handles=_legend(summary), loc="outside upper center", ncols=4)
    return figure


def _bars(axes: Axes, summary: pd.DataFrame, quantity: str, form: str) -> None:
    """Horizontal bars, one group per method, one bar per data set."""
    methods = list(dict.fromkeys(summary["method"]))
    datasets = list(dict.fromkeys(summary["dataset"]))
    height = 0.8 / len(datasets)
    highest = summary[f"{quantity}_high"].max()
    for index, dataset in enumerate(datasets):
        rows = summary[summary["dataset"] == dataset].set_index("method").loc[methods]
        y = np.arange(len(methods)) + (index - (len(datasets) - 1) / 2) * height
        values, low, high = (rows[quantity + end].to_numpy() for end in ("", "_low", "_high"))
        axes.barh(
            y,
            values,
            height * 0.9,
            xerr=np.clip([values - low, high - values], 0, None),
            color=[COLORS.get(method, OTHER) for method in methods],
            hatch=HATCHES[index % len(HATCHES)],
            edgecolor="white",
            linewidth=0.5,
            error_kw={"elinewidth": 0.9, "capsize": 2},
        )
        for position, value, end in zip(y, values, high, strict=True):
            axes.text(end + highest * 0.02, position, form.format(value), va="center", fontsize=7)
    axes.set_yticks(range(len(methods)), [summary.loc[summary["method"] == m, "label"].iloc[0] for m in methods])
    axes.set_xlim(0, highest * 1.18)
    axes.set_ylim(len(methods) - 0.45, -0.55)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _legend(summary: pd.DataFrame) -> list:
    labels = list(dict.fromkeys(summary["dataset_label"]))
    return [
        plt.Rectangle(
            (0, 0), 1, 1, facecolor="#777777", edgecolor="white", hatch=HATCHES[i % len(HATCHES)], label=label
        )
        for i, label in enumerate(labels)
    ]
