"""Sensitivity of DynaTree to its parameters."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynatree.analysis.figures.panels import MARKERS, bounds, datasets, letter, mark_one, name_rows
from dynatree.analysis.figures.style import COLORS, plain, plt

CATEGORIES = {
    "thresholds": "confidence thresholds (high/low)",
    "branches": "branches (fewest-most)",
    "depths": "depths (base-maximum)",
    "cross": "all parameters together",
}
QUANTITIES = {"speedup": "speed-up", "tokens_per_round": "tokens per round"}
REFERENCE = "fixed_tree"
STROKES = ("--", ":", "-.", "-")
FILLS = (COLORS["dynatree"], COLORS["chain"], COLORS["dynatree_static"], "#333333")


def figure(summary: pd.DataFrame) -> Figure:
    """Draw speed-up and tokens per round of every setting with 95 % intervals, and the fixed tree as a line.

    Each category has a row of panels, and each data set a marker.
    """
    settings = {c: list(summary.loc[summary["category"] == c, "setting"].unique()) for c in CATEGORIES}
    settings = {category: names for category, names in settings.items() if names}
    spread = 0.17 + 0.04 * (len(datasets(summary)) - 1)  # inches per setting
    sizes = [0.42 + spread * len(names) for names in settings.values()]
    figure, axes = plt.subplots(
        len(settings),
        len(QUANTITIES),
        figsize=(7.2, 0.9 + sum(sizes)),
        height_ratios=sizes,
        sharex="col",
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    for (category, names), row in zip(settings.items(), axes, strict=True):
        for panel, quantity in zip(row, QUANTITIES, strict=True):
            _category(panel, summary, category, names, quantity)
            name_rows(panel, [plain(name.replace("_", " ")) for name in names])
    for panel in axes[:, 0]:
        mark_one(panel, "x")
    letter(list(axes[:, 0]), [CATEGORIES[category] for category in settings])
    for panel, label in zip(axes[-1], QUANTITIES.values(), strict=True):
        panel.set_xlabel(label)
    figure.legend(handles=_handles(summary), loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _category(axes: Axes, summary: pd.DataFrame, category: str, names: list[str], quantity: str) -> None:
    """Draw a point with its interval per setting and data set, and the reference of each data set."""
    sets = datasets(summary)
    for index, dataset in enumerate(sets):
        rows = summary[summary["dataset"] == dataset]
        part = rows[rows["category"] == category]
        y = part["setting"].map(names.index) + 0.36 * (index - (len(sets) - 1) / 2)
        style: dict[str, Any] = {"color": FILLS[index % len(FILLS)], "marker": MARKERS[index % len(MARKERS)]}
        axes.errorbar(part[quantity], y, xerr=bounds(part, quantity), linestyle="", markersize=3.5, **style)
        stroke = STROKES[index % len(STROKES)]
        for value in rows.loc[rows["case"] == REFERENCE, quantity]:
            axes.axvline(value, color=COLORS[REFERENCE], linestyle=stroke, linewidth=1.3, zorder=1)


def _handles(summary: pd.DataFrame) -> list:
    """Return the legend entries of each data set: its points and the line of the fixed tree."""
    points, lines = [], []
    fixed = plain(summary.loc[summary["case"] == REFERENCE, "label"].iloc[0])
    for index, label in enumerate(datasets(summary).values()):
        style: dict[str, Any] = {"color": FILLS[index % len(FILLS)], "marker": MARKERS[index % len(MARKERS)]}
        points.append(Line2D([], [], linestyle="-", markersize=4, label=f"DynaTree, {label}", **style))
        stroke = STROKES[index % len(STROKES)]
        lines.append(Line2D([], [], color=COLORS[REFERENCE], linestyle=stroke, label=f"{fixed}, {label}"))
    return points + lines
