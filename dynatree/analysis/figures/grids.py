"""What the figures of experiments over settings share."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dynatree.analysis.figures.style import plt


def shades(values: Sequence[float]) -> dict[float, tuple]:
    """Ascending values -> colours from dark to light that stay distinct in grey."""
    return dict(zip(values, plt.get_cmap("viridis")(np.linspace(0, 0.9, len(values))), strict=True))


def bounds(rows: pd.DataFrame, quantity: str) -> np.ndarray:
    """Distances from the values to the lower and the upper end of their intervals, as error bars take them."""
    values, low, high = (rows[quantity + end].to_numpy() for end in ("", "_low", "_high"))
    return np.clip([values - low, high - values], 0, None)


def mark_one(axes: Axes, axis: str) -> None:
    """A line at the baseline's speed-up of 1 across the axis "x" or "y", if the finished panel reaches so far."""
    if axis == "x":
        limits = axes.get_xlim()
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlim(limits)
    else:
        limits = axes.get_ylim()
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_ylim(limits)


def letter(axes: Sequence[Axes], titles: Sequence[str]) -> None:
    """Title panels (a), (b), ..."""
    for index, (panel, title) in enumerate(zip(axes, titles, strict=True)):
        panel.set_title(f"({chr(ord('a') + index)}) {title}", loc="left", fontsize=8.5)
