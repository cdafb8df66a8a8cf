"""Fixed trees with and without pruning."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynatree.analysis.figures.panels import bounds, dataset_panels, mark_one, shades
from dynatree.config.jobs import BASELINE

QUANTITIES = {
    "speedup": "speed-up",
    "tokens_per_round": "tokens per round",
    "verified_per_token": "nodes verified per token",
}
NOT_PRUNED = {"color": "black", "linestyle": "--", "marker": "s"}


def figure(summary: pd.DataFrame) -> Figure:
    """Draw speed-up, tokens per round and verified nodes per token by depth, one line per threshold.

    Speed-up and tokens per round have 95 % intervals.
    """
    trees = summary[summary["case"] != BASELINE]
    depths = sorted(trees["depth"].unique())
    styles = _styles(sorted(trees["threshold"].unique()))
    figure, panels = dataset_panels(trees, len(QUANTITIES), 1.9, sharex=True, sharey="col")
    for dataset, row in panels.items():
        rows = trees[trees["dataset"] == dataset]
        for axes, (quantity, label) in zip(row, QUANTITIES.items(), strict=True):
            for index, (threshold, style) in enumerate(styles.items()):
                part = rows[rows["threshold"] == threshold].sort_values("depth")
                x = part["depth"].map(depths.index) + 0.1 * (index - (len(styles) - 1) / 2)
                error = bounds(part, quantity) if f"{quantity}_low" in part else None
                axes.errorbar(x, part[quantity], error, markersize=4, linewidth=1.2, elinewidth=0.9, **style)
            axes.set_ylabel(label)
    for row in panels.values():
        mark_one(row[0], "y")
    for axes in row:
        axes.set_xticks(range(len(depths)), [f"{depth:g}" for depth in depths])
        axes.set_xlim(-0.5, len(depths) - 0.5)
        axes.set_xlabel("depth")
    row[-1].set_ylim(0, 1.08 * trees[list(QUANTITIES)[-1]].max())  # shared by all data sets
    names = [f"pruned below {threshold:g}" if threshold else "not pruned" for threshold in styles]
    handles = [
        Line2D([], [], markersize=4, label=name, **style) for name, style in zip(names, styles.values(), strict=True)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=8)
    return figure


def _styles(thresholds: list[float]) -> dict[float, dict]:
    """Return the line style of each threshold; thresholds ascend."""
    pruned = shades([threshold for threshold in thresholds if threshold])
    styles = {threshold: {"color": color, "marker": "o"} for threshold, color in pruned.items()}
    return ({0.0: NOT_PRUNED} if not np.all(thresholds) else {}) | styles
