"""Sweep over the settings of fixed trees and chains."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from dynatree.analysis.figures.panels import MARKERS, bounds, dataset_handles, datasets, letter, mark_one, shades
from dynatree.analysis.figures.style import COLORS, plt
from dynatree.analysis.tables.sweep import fastest, pooled

BEST = COLORS["dynatree"]
CHAIN: dict[str, Any] = {"color": COLORS["chain"], "marker": "*", "linestyle": ""}
TREE = ("o", "s", "^", "D", "v", "P")  # by branch
FRONT: dict[str, Any] = {"color": "black", "linewidth": 0.9, "zorder": 1}
RATES = {"acceptance_rate": ("acceptance rate", "#0072B2", "o"), "draft_precision": ("draft precision", "#E69F00", "s")}
TIGHT: dict[str, Any] = {"columnspacing": 1.2, "handlelength": 1.2}
OPAQUE: dict[str, Any] = {"frameon": True, "facecolor": "white", "edgecolor": "none", "framealpha": 1, "borderpad": 0.1}
HEADROOM = 0.34  # of panels with a legend


def figure(summary: pd.DataFrame) -> Figure:
    """Draw speed-up, tokens per round, effort and acceptance of trees, and chains against the fastest tree.

    Speed-ups are geometric means and other quantities arithmetic means over the data sets.
    """
    settings = pooled(summary)
    trees, chains = (settings[settings["method"] == method] for method in ("fixed_tree", "chain"))
    best = trees.loc[trees["speedup"].idxmax()]
    grid = fastest(trees, ["depth", "branch"])
    low = 0.55 + 0.34 * grid["branch"].nunique()
    size = (7.2, 0.7 + low + 2 * 2.2)
    figure, axes = plt.subplots(3, 2, figsize=size, height_ratios=[low, 2.2, 2.2], layout="constrained")
    speedup, tokens, threshold, effort, acceptance, chain = axes.flat
    _grid(speedup, grid, "speedup", best, below="threshold")
    _grid(tokens, grid, "tokens_per_round", best)
    _thresholds(threshold, trees, best)
    _effort(effort, trees, chains, best)
    _acceptance(acceptance, trees)
    _chains(chain, summary, chains.sort_values("depth"), best)
    titles = (
        "speed-up, and its threshold",
        "tokens per round at that threshold",
        "speed-up at the fastest branch",
        "nodes against tokens",
        "fastest tree of each depth; band: all trees",
        "chains against the fastest tree",
    )
    letter(axes.flat, titles)
    figure.legend(handles=_depth_handles(trees), loc="outside upper center", ncols=8, fontsize=8, **TIGHT)
    figure.legend(handles=_point_handles(trees), loc="outside lower center", ncols=8, fontsize=8, **TIGHT)
    return figure


def _grid(axes: Axes, grid: pd.DataFrame, quantity: str, best: pd.Series, below: str | None = None) -> None:
    """Draw a cell per depth and branch with its value, and the value of ``below`` beneath it."""
    values = grid.pivot(index="branch", columns="depth", values=quantity)
    image = axes.imshow(values, aspect="auto", cmap="Blues", origin="lower")
    darkness = np.asarray(image.norm(values.to_numpy()))  # [branches, depths], 0 to 1
    for _, row in grid.iterrows():
        place = values.columns.get_loc(row["depth"]), values.index.get_loc(row["branch"])
        text = f"{row[quantity]:.2f}" + (f"\n{row[below]:g}" if below else "")
        ink = "white" if darkness[place[::-1]] > 0.55 else "black"
        axes.text(*place, text, ha="center", va="center", fontsize=7, color=ink, linespacing=1.1)
        if row.name == best.name:
            corner = place[0] - 0.5, place[1] - 0.5
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=BEST, linewidth=2.2, clip_on=False, zorder=3))
    axes.set_xticks(range(len(values.columns)), values.columns)
    axes.set_yticks(range(len(values.index)), values.index)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.set_xlabel("depth")
    axes.set_ylabel("branch")


def _thresholds(axes: Axes, trees: pd.DataFrame, best: pd.Series) -> None:
    """Draw a line per depth over the thresholds."""
    thresholds = sorted(trees["threshold"].unique())
    rows = fastest(trees, ["depth", "threshold"])
    for depth, color in _depths(trees).items():
        part = rows[rows["depth"] == depth].sort_values("threshold")
        axes.plot(part["threshold"].map(thresholds.index), part["speedup"], color=color, marker=".", linewidth=1.2)
    _ring(axes, thresholds.index(best["threshold"]), best["speedup"])
    mark_one(axes, "y")
    axes.set_xticks(range(len(thresholds)), [f"{threshold:g}" for threshold in thresholds])
    axes.set_xlabel("pruned below")
    axes.set_ylabel("speed-up")


def _effort(axes: Axes, trees: pd.DataFrame, chains: pd.DataFrame, best: pd.Series) -> None:
    """Draw a point per setting, and the Pareto front of both quantities."""
    everything = pd.concat([trees, chains])
    front = everything.sort_values(["verified_per_token", "tokens_per_round"], ascending=[True, False])
    front = front[front["tokens_per_round"] > front["tokens_per_round"].cummax().shift(fill_value=0)]
    axes.plot(front["verified_per_token"], front["tokens_per_round"], **FRONT)
    colors, branches = _depths(trees), _branches(trees)
    for (depth, branch), rows in trees.groupby(["depth", "branch"]):
        style = {"color": [colors[depth]], "marker": branches[branch]}
        axes.scatter(rows["verified_per_token"], rows["tokens_per_round"], s=16, linewidth=0, **style)
    axes.plot(chains["verified_per_token"], chains["tokens_per_round"], markersize=7, **CHAIN)
    _ring(axes, best["verified_per_token"], best["tokens_per_round"])
    axes.grid(axis="x")
    axes.set_xlabel("nodes verified per token")
    axes.set_ylabel("tokens per round")


def _acceptance(axes: Axes, trees: pd.DataFrame) -> None:
    """Draw acceptance rate and draft precision over the depth."""
    rows = fastest(trees, ["depth"])
    x = range(len(rows))
    for quantity, (label, color, marker) in RATES.items():
        axes.plot(x, rows[quantity], color=color, marker=marker, markersize=4, linewidth=1.4, label=label)
        spread = trees.groupby("depth")[quantity].agg(["min", "max"])
        axes.fill_between(x, spread["min"], spread["max"], color=color, alpha=0.18, linewidth=0)
    axes.set_xticks(x, rows["depth"])
    axes.set_xlabel("depth")
    axes.set_ylabel("share of tokens")
    axes.set_ylim(0, trees[list(RATES)].max(axis=None) * (1.05 + HEADROOM / 2))
    axes.legend(loc="upper right", ncols=2, fontsize=8, **OPAQUE)


def _chains(axes: Axes, summary: pd.DataFrame, chains: pd.DataFrame, best: pd.Series) -> None:
    """Draw the speed-up over the length of the chain, with the interval of each data set."""
    lengths = list(chains["depth"])
    sets = datasets(summary)
    for index, dataset in enumerate(sets):
        rows = summary[(summary["dataset"] == dataset) & (summary["method"] == "chain")]
        x = rows["depth"].map(lengths.index) + 0.2 * (index - (len(sets) - 1) / 2)
        style = {"color": "#555555", "marker": MARKERS[index % len(MARKERS)], "linestyle": "", "markersize": 3}
        axes.errorbar(x, rows["speedup"], bounds(rows, "speedup"), elinewidth=0.9, **style)
    axes.plot(range(len(lengths)), chains["speedup"], color=CHAIN["color"], linewidth=1.6)
    axes.axhline(best["speedup"], color=BEST, linestyle="--", linewidth=1.4)
    mark_one(axes, "y")
    axes.set_xticks(range(len(lengths)), lengths)
    axes.set_xlim(-0.5, len(lengths) - 0.5)
    axes.set_xlabel("length of the chain")
    axes.set_ylabel("speed-up")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + HEADROOM * (high - low))
    tree = f"tree: depth {best['depth']}, branch {best['branch']}, {best['threshold']:g}"
    handles = [
        Line2D([], [], color=BEST, linestyle="--", label=tree),
        Line2D([], [], color=CHAIN["color"], label="chains, mean" if len(sets) > 1 else "chains"),
        *dataset_handles(summary),
    ]
    axes.legend(handles=handles, loc="upper left", ncols=2, fontsize=7, columnspacing=1, handlelength=1.6, **OPAQUE)


def _ring(axes: Axes, x: float, y: float) -> None:
    """Mark the fastest tree."""
    axes.plot([x], [y], marker="o", markersize=9, markerfacecolor="none", markeredgecolor=BEST, markeredgewidth=1.6)


def _depths(trees: pd.DataFrame) -> dict:
    return shades(sorted(trees["depth"].unique()))


def _branches(trees: pd.DataFrame) -> dict:
    return {branch: TREE[i % len(TREE)] for i, branch in enumerate(sorted(trees["branch"].unique()))}


def _depth_handles(trees: pd.DataFrame) -> list:
    return [Line2D([], [], color=color, linewidth=4, label=f"depth {d}") for d, color in _depths(trees).items()]


def _point_handles(trees: pd.DataFrame) -> list:
    """Return legend entries of the branches and of the other marks."""
    points: dict[str, Any] = {"linestyle": "", "color": "#555555", "markersize": 5}
    ring: dict[str, Any] = {
        "linestyle": "",
        "marker": "o",
        "markersize": 8,
        "markerfacecolor": "none",
        "markeredgecolor": BEST,
    }
    return [
        *(Line2D([], [], marker=m, label=f"branch {b}", **points) for b, m in _branches(trees).items()),
        Line2D([], [], markersize=7, label="chain", **CHAIN),
        Line2D([], [], label="Pareto front", **FRONT),
        Line2D([], [], markeredgewidth=1.6, label="fastest tree", **ring),
    ]
