"""Cost of a token in draft forward passes and verified nodes."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynatree.analysis.figures.panels import MARKERS, case_colors, case_handles, dataset_handles, datasets
from dynatree.analysis.figures.style import plt


def figure(summary: pd.DataFrame) -> Figure:
    """Draw tokens per round against verified nodes and draft forward passes per token; the upper left is best.

    The dashed line stands for cases without a draft.
    """
    drafting = summary[summary["draft_forwards_per_token"] > 0]
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.5), sharey=True, layout="constrained")
    _scatter(left, drafting, "verified_per_token")
    _scatter(right, drafting, "draft_forwards_per_token")
    left.set_xlabel("nodes verified per token")
    right.set_xlabel("draft forward passes per token")
    left.set_ylabel("tokens per round")
    for axes in (left, right):
        axes.axhline(1, color="black", linewidth=0.9, linestyle="--")
        axes.set_ylim(bottom=0.9)
    undrafted = Line2D([], [], color="black", linewidth=0.9, linestyle="--", label="without a draft")
    handles = [*case_handles(drafting), *dataset_handles(drafting), undrafted]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=8)
    return figure


def _scatter(axes: Axes, summary: pd.DataFrame, effort: str) -> None:
    """Draw a point per case and data set, with the interval of tokens per round."""
    colors = case_colors(summary)
    for index, dataset in enumerate(datasets(summary)):
        rows = summary[summary["dataset"] == dataset].dropna(subset=[effort, "tokens_per_round"])
        for _, row in rows.iterrows():
            x, y = row[effort], row["tokens_per_round"]
            axes.vlines(x, row["tokens_per_round_low"], row["tokens_per_round_high"], color=colors[row["case"]])
            marker = MARKERS[index % len(MARKERS)]
            axes.scatter(
                x, y, s=46, color=colors[row["case"]], marker=marker, edgecolor="black", linewidth=0.6, zorder=3
            )
    axes.grid(axis="x")
    axes.margins(x=0.12)
