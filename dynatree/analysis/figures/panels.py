"""Elements that figures share: names and colors of cases, markers of data sets, panels, bars and error bars."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dynatree.analysis.figures.style import COLORS, SPARE, plain, plt

HATCHES = ("", "///", "...", "xxx")
MARKERS = ("o", "s", "^", "D")


def case_colors(frame: pd.DataFrame) -> dict[str, str]:
    """Return a color for every case: that of its method, or the next spare one."""
    spare = cycle(SPARE)
    return {case: COLORS.get(case) or next(spare) for case in frame["case"].unique()}


def labels(frame: pd.DataFrame, key: str, label: str) -> dict[str, str]:
    """Return each value of ``key``, in order of appearance, with its label."""
    first = frame.drop_duplicates(key)
    return {name: plain(text) for name, text in zip(first[key], first[label], strict=True)}


def cases(frame: pd.DataFrame) -> dict[str, str]:
    """Return the label of every case."""
    return labels(frame, "case", "label")


def datasets(frame: pd.DataFrame) -> dict[str, str]:
    """Return the label of every data set."""
    return labels(frame, "dataset", "dataset_label")


def case_rows(frame: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Return one row per case of the frame; NaN where the data set lacks the case."""
    return frame[frame["dataset"] == dataset].set_index("case").reindex(list(cases(frame)))


def case_handles(frame: pd.DataFrame, line: bool = False) -> list:
    """Return legend entries of the cases, as patches or as lines."""
    colors = case_colors(frame)
    if line:
        style = {"marker": "o", "markersize": 4}
        return [Line2D([], [], color=colors[case], label=label, **style) for case, label in cases(frame).items()]
    return [Patch(facecolor=colors[case], label=label) for case, label in cases(frame).items()]


def dataset_handles(frame: pd.DataFrame) -> list:
    """Return legend entries of the data sets, as gray markers."""
    return [
        Line2D([], [], linestyle="", color="#555555", marker=MARKERS[i % len(MARKERS)], label=text)
        for i, text in enumerate(datasets(frame).values())
    ]


def dataset_panels(frame: pd.DataFrame, columns: int, height: float, **options) -> tuple[Figure, dict]:
    """Create a row of panels per data set, titled with its label.

    Args:
        frame: has the columns dataset and dataset_label.
        columns: panels per data set.
        height: inches per data set.
        **options: of ``plt.subplots``.

    Returns:
        The figure, and the row of axes of each data set.
    """
    names = datasets(frame)
    size = (7.2, 0.7 + height * len(names))
    figure, axes = plt.subplots(len(names), columns, figsize=size, squeeze=False, layout="constrained", **options)
    for row, label in zip(axes, names.values(), strict=True):
        row[0].set_title(label, loc="left", fontsize=9, fontweight="bold")
    return figure, dict(zip(names, axes, strict=True))


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the horizontal bars at 0, 1, ... from the top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def stacked(axes: Axes, rows: pd.DataFrame, parts: dict[str, str]) -> np.ndarray:
    """Draw stacked horizontal bars and return their ends.

    Args:
        axes: receives one bar per row.
        rows: one row per bar.
        parts: column -> color of its segment.
    """
    end = np.zeros(len(rows))
    for name, fill in parts.items():
        widths = rows[name].fillna(0).to_numpy()
        axes.barh(range(len(rows)), widths, 0.72, left=end, color=fill, linewidth=0)
        end += widths
    return end


def compact(value: float) -> str:
    """Return a number with about three digits, or an empty text for NaN."""
    return "" if np.isnan(value) else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def write_values(axes: Axes, ends: Sequence[float], texts: Sequence[str], max_value: float) -> None:
    """Write texts behind horizontal bars and extend an axis with values up to ``max_value`` to fit them."""
    for position, (end, text) in enumerate(zip(ends, texts, strict=True)):
        if text:
            axes.text(end + max_value * 0.02, position, text, va="center", fontsize=7)
    axes.set_xlim(0, max_value * (1.06 + 0.034 * max(map(len, texts), default=0)))


def shades(values: Sequence[float]) -> dict[float, tuple]:
    """Return colors from dark to light for ascending values; they stay distinct in grayscale."""
    return dict(zip(values, plt.get_cmap("viridis")(np.linspace(0, 0.9, len(values))), strict=True))


def bounds(rows: pd.DataFrame, quantity: str) -> np.ndarray:
    """Return the distances from the values to both ends of their intervals, for error bars.

    Returns:
        Array of shape [2, rows].
    """
    values, low, high = (rows[quantity + end].to_numpy() for end in ("", "_low", "_high"))
    return np.clip([values - low, high - values], 0, None)


def mark_one(axes: Axes, axis: str) -> None:
    """Mark the value 1 on the axis "x" or "y" if the finished panel includes it."""
    if axis == "x":
        limits = axes.get_xlim()
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlim(limits)
    else:
        limits = axes.get_ylim()
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_ylim(limits)


def letter(axes: Sequence[Axes], titles: Sequence[str]) -> None:
    """Title the panels (a), (b), ..."""
    for index, (panel, title) in enumerate(zip(axes, titles, strict=True)):
        panel.set_title(f"({chr(ord('a') + index)}) {title}", loc="left", fontsize=8.5)
