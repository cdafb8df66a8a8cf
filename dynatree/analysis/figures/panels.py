"""What the figures share: names, colours and shapes of cases and data sets, and panels of bars."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dynatree.analysis.figures.style import COLORS, OTHER, plain, plt

HATCHES = ("", "///", "...", "xxx")
MARKERS = ("o", "s", "^", "D")


def color(case: str) -> str:
    """The colour of a case."""
    return COLORS.get(case, OTHER)


def labels(frame: pd.DataFrame, key: str, label: str) -> dict[str, str]:
    """Each value of ``key`` in its order -> how to show it."""
    first = frame.drop_duplicates(key)
    return {name: plain(text) for name, text in zip(first[key], first[label], strict=True)}


def cases(frame: pd.DataFrame) -> dict[str, str]:
    """Key -> label of every case."""
    return labels(frame, "case", "label")


def datasets(frame: pd.DataFrame) -> dict[str, str]:
    """Key -> label of every data set."""
    return labels(frame, "dataset", "dataset_label")


def case_rows(frame: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """One row per case of the whole frame; NaN where the data set lacks the case."""
    return frame[frame["dataset"] == dataset].set_index("case").reindex(list(cases(frame)))


def case_handles(frame: pd.DataFrame, line: bool = False) -> list:
    """Legend entries of the cases, as patches or as lines."""
    if line:
        return [
            Line2D([], [], color=color(c), marker="o", markersize=4, label=text) for c, text in cases(frame).items()
        ]
    return [Patch(facecolor=color(c), label=text) for c, text in cases(frame).items()]


def dataset_handles(frame: pd.DataFrame) -> list:
    """Legend entries of the data sets as grey markers."""
    return [
        Line2D([], [], linestyle="", color="#555555", marker=MARKERS[i % len(MARKERS)], label=text)
        for i, text in enumerate(datasets(frame).values())
    ]


def dataset_panels(frame: pd.DataFrame, columns: int, height: float, **options) -> tuple[Figure, dict]:
    """A row of ``columns`` panels per data set, each row titled with the data set's label.

    Args:
        frame: has the columns dataset and dataset_label.
        columns: panels per data set.
        height: inches per data set.
        **options: of ``plt.subplots``.

    Returns:
        The figure, and data set -> its row of axes.
    """
    names = datasets(frame)
    size = (7.2, 0.7 + height * len(names))
    figure, axes = plt.subplots(len(names), columns, figsize=size, squeeze=False, layout="constrained", **options)
    for row, label in zip(axes, names.values(), strict=True):
        row[0].set_title(label, loc="left", fontsize=9, fontweight="bold")
    return figure, dict(zip(names, axes, strict=True))


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Horizontal bars at 0, 1, ... from the top, with their names."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def stacked(axes: Axes, rows: pd.DataFrame, parts: dict[str, str]) -> np.ndarray:
    """Horizontal bars of one segment per part (column -> colour); returns where they end."""
    end = np.zeros(len(rows))
    for name, fill in parts.items():
        widths = rows[name].fillna(0).to_numpy()
        axes.barh(range(len(rows)), widths, 0.72, left=end, color=fill, linewidth=0)
        end += widths
    return end


def compact(value: float) -> str:
    """A number with about three digits; nothing for NaN."""
    return "" if np.isnan(value) else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def write_values(axes: Axes, ends: Sequence[float], texts: Sequence[str], most: float) -> None:
    """Texts behind horizontal bars, with room for them on an axis that shows values up to ``most``."""
    for position, (end, text) in enumerate(zip(ends, texts, strict=True)):
        if text:
            axes.text(end + most * 0.02, position, text, va="center", fontsize=7)
    axes.set_xlim(0, most * (1.06 + 0.034 * max(map(len, texts), default=0)))
