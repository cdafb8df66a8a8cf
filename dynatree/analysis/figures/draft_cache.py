"""Decoding with a compressed KV cache of the draft."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from dynatree.analysis.figures.panels import bounds, mark_one
from dynatree.analysis.figures.style import plain, plt, series_styles
from dynatree.analysis.tables.draft_cache import TO_FULL, draft_cache_frame
from dynatree.config.compression_grid import FULL_CACHE

QUANTITIES = dict(zip((column.name for column in TO_FULL.values()), ("tokens per round", "throughput"), strict=True))
LINES = ("-", "--", ":", "-.")


def figure(requests: pd.DataFrame) -> Figure:
    """Draw tokens per round and throughput relative to the full draft cache, by budget.

    Each data set and prompt length has a row of panels. Colors distinguish compression methods, line styles policies.
    """
    frame = draft_cache_frame(requests)
    frame = frame[frame["cache"] != FULL_CACHE]
    texts = list(frame.groupby(["dataset_label", "limit"], sort=False))
    size = (7.2, 0.8 + 2.0 * len(texts))
    figure, panels = plt.subplots(
        len(texts), len(QUANTITIES), figsize=size, squeeze=False, sharex=True, sharey="col", layout="constrained"
    )
    for row, ((label, limit), part) in zip(panels, texts, strict=True):
        for axes, (quantity, title) in zip(row, QUANTITIES.items(), strict=True):
            _panel(axes, frame, part, quantity)
            axes.set_ylabel(f"{title} to full")
        row[0].set_title(f"{plain(label)}, {limit:g} prompt tokens", loc="left", fontsize=9, fontweight="bold")
    for axes in panels[-1]:
        axes.set_xlabel("entries kept in the draft's cache")
    for axes in panels.flat:
        mark_one(axes, "y")
    handles, names = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3, fontsize=8)
    return figure


def _panel(axes: Axes, frame: pd.DataFrame, rows: pd.DataFrame, quantity: str) -> None:
    styles = series_styles(frame["cache"].unique())
    policies = {policy: LINES[number % len(LINES)] for number, policy in enumerate(frame["policy"].unique())}
    sizes = sorted(frame["budget"].unique())
    lines = list(rows.groupby(["policy", "cache"], sort=False))
    for index, ((policy, cache), part) in enumerate(lines):
        shift = 1.06 ** (index - (len(lines) - 1) / 2)  # separates overlapping intervals
        line = {"markersize": 4, "linewidth": 1.2, "elinewidth": 0.8, "capsize": 2, "linestyle": policies[policy]}
        at, label = part["budget"] * shift, plain(part["label"].iloc[0])
        axes.errorbar(at, part[quantity], bounds(part, quantity), label=label, **line | styles[cache])
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.set_xlim(sizes[0] / 1.5, sizes[-1] * 1.5)
    axes.xaxis.set_minor_locator(NullLocator())
