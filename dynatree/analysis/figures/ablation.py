"""Contribution of each component of DynaTree."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dynatree.analysis.figures.panels import bounds, dataset_panels, labels, name_rows
from dynatree.analysis.figures.style import COLORS
from dynatree.config.jobs import BASELINE

QUANTITIES = {
    "speedup": ("speed-up", "{:.2f}"),
    "tokens_per_round": ("tokens per round", "{:.2f}"),
    "verified_per_token": ("nodes verified per token", "{:.1f}"),
}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {  # steps that adapt the depth have the same case in both
    "published": ("at the published depths", {"facecolor": COLORS["dynatree"]}),
    "equal_depth": ("at equal maximum depth", {"facecolor": "#F2C2A0", "hatch": "///"}),
}
HEIGHT = 0.38


def figure(summary: pd.DataFrame) -> Figure:
    """Draw speed-up, tokens per round and verified nodes per token of every step, at the published and at equal depths.

    Speed-up and tokens per round have 95 % intervals.
    """
    steps = summary[summary["case"] != BASELINE]
    names = labels(steps, "step", "label")
    figure, panels = dataset_panels(steps, len(QUANTITIES), 0.5 + 0.32 * len(names), sharex="col", sharey=True)
    for dataset, row in panels.items():
        rows = _placed(steps[steps["dataset"] == dataset], list(names))
        for axes, (quantity, (_, form)) in zip(row, QUANTITIES.items(), strict=True):
            _bars(axes, rows, quantity, form, limit=_ends(steps, quantity).max() * 1.25)
            name_rows(axes, list(names.values()))
        row[0].axvline(1, color="black", linewidth=0.8)
    for axes, (label, _) in zip(row, QUANTITIES.values(), strict=True):
        axes.set_xlabel(label)
    handles = [Patch(edgecolor="white", label=label, **style) for label, style in SETTINGS.values()]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _placed(rows: pd.DataFrame, steps: list[str]) -> pd.DataFrame:
    """Return ``rows`` with the vertical position of their bars; both settings of a step are side by side."""
    shift = rows["setting"].map({"published": -0.52, "equal_depth": 0.52}) * HEIGHT
    return rows.assign(y=rows["step"].map(steps.index) + shift.where(rows["step"].duplicated(keep=False), 0))


def _ends(rows: pd.DataFrame, quantity: str) -> pd.Series:
    """Return the right ends of the bars and their intervals, where they have one."""
    high = f"{quantity}_high"
    return rows[high].fillna(rows[quantity]) if high in rows else rows[quantity]


def _bars(axes: Axes, rows: pd.DataFrame, quantity: str, form: str, limit: float) -> None:
    for setting, (_, style) in SETTINGS.items():
        part = rows[rows["setting"] == setting]
        error = bounds(part, quantity) if f"{quantity}_low" in part else None
        mark = {"elinewidth": 0.9, "capsize": 2}
        axes.barh(
            part["y"], part[quantity], HEIGHT, xerr=error, edgecolor="white", linewidth=0.5, error_kw=mark, **style
        )
    for y, value, end in zip(rows["y"], rows[quantity], _ends(rows, quantity), strict=True):
        axes.text(end + limit * 0.02, y, form.format(value), va="center", fontsize=7)
    axes.set_xlim(0, limit)
