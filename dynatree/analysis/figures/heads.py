"""Attention entropy and sink mass of every head."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dynatree.analysis.figures.panels import letter
from dynatree.analysis.figures.style import plt

QUANTITIES = {"entropy": "entropy, nats", "sink": "sink mass"}


def figure(heads: pd.DataFrame) -> Figure:
    """Draw two heat maps over layers and heads: entropy, and the share of attention on the sinks.

    Args:
        heads: one row per head.
    """
    rows = heads["head"].nunique()
    height = np.clip(0.13 * rows, 1.1, 2.8)  # inches per panel
    size = (7.2, 2 * height + 1)
    figure, panels = plt.subplots(len(QUANTITIES), 1, figsize=size, sharex=True, layout="constrained")
    for axes, (name, label) in zip(panels, QUANTITIES.items(), strict=True):
        _map(axes, heads.pivot(index="head", columns="layer", values=name), label, 1 if name == "sink" else None)
    panels[-1].set_xlabel("layer")
    letter(panels, ["Entropy", "Mass on the first tokens"])
    return figure


def _map(axes: Axes, values: pd.DataFrame, label: str, max_value: float | None) -> None:
    """Draw a heat map from zero to ``max_value``, or to the largest value."""
    image = axes.imshow(values, aspect="auto", cmap="viridis", vmin=0, vmax=max_value, interpolation="nearest")
    axes.grid(visible=False)
    axes.set_ylabel("head")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.figure.colorbar(image, ax=axes, label=label, pad=0.01)
