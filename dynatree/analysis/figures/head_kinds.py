"""Kinds of attention heads by layer, entropy, sink mass and distance."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dynatree.analysis.figures.panels import letter
from dynatree.analysis.figures.style import plt
from dynatree.analysis.heads import distances
from dynatree.heads.classification import KINDS

# distinguished by brightness and shape, not only by hue
LOOKS = {"sink": ("#0072B2", "o"), "local": ("#E69F00", "s"), "mixed": ("#999999", "D"), "global": ("#CC79A7", "^")}


def figure(heads: pd.DataFrame) -> Figure:
    """Draw the share of the kinds per layer, entropy against sink mass, and the mean profile of each kind.

    Args:
        heads: one row per head.
    """
    figure, panels = plt.subplot_mosaic("aa;bc", figsize=(7.2, 4.9), height_ratios=(1, 1.35), layout="constrained")
    _shares(panels["a"], heads)
    _scatter(panels["b"], heads)
    _profiles(panels["c"], heads)
    letter(list(panels.values()), ["Kinds by layer", "Entropy and sink mass", "Attention by distance"])
    handles, names = panels["b"].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(KINDS))
    return figure


def _kinds(heads: pd.DataFrame) -> list[str]:
    """Return the kinds that occur, in their order."""
    return [kind for kind in KINDS if (heads["kind"] == kind).any()]


def _shares(axes: Axes, heads: pd.DataFrame) -> None:
    shares = pd.crosstab(heads["layer"], heads["kind"], normalize="index")
    below = np.zeros(len(shares))
    for kind in _kinds(heads):
        axes.bar(shares.index, shares[kind], 0.86, bottom=below, color=LOOKS[kind][0])
        below += shares[kind].to_numpy()
    axes.set_xlim(shares.index[0] - 0.6, shares.index[-1] + 0.6)
    axes.set_ylim(0, 1)
    axes.set_xlabel("layer")
    axes.set_ylabel("heads")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _scatter(axes: Axes, heads: pd.DataFrame) -> None:
    for kind in _kinds(heads):
        color, marker = LOOKS[kind]
        part = heads[heads["kind"] == kind]
        axes.scatter(part["entropy"], part["sink"], 14, color=color, marker=marker, alpha=0.75, linewidth=0, label=kind)
    axes.set_xlim(left=0)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("entropy, nats")
    axes.set_ylabel("sink mass")


def _profiles(axes: Axes, heads: pd.DataFrame) -> None:
    """Draw the mean mass by distance in bins that double in width; sinks have no fixed distance and are separate."""
    bins = distances(heads)
    places = range(2, len(bins) + 2)
    for kind in _kinds(heads):
        color, marker = LOOKS[kind]
        part = heads[heads["kind"] == kind]
        axes.plot([0], [part["sink"].mean()], marker, color=color, markersize=5)
        axes.plot(places, part[list(bins)].mean(), color=color, marker=marker, markersize=4, linewidth=1.3)
    axes.axvline(1, color="#BBBBBB", linewidth=0.8)
    axes.set_ylim(bottom=0)
    axes.set_xticks([0, *places], ["sinks", *map(str, bins.values())], rotation=60, fontsize=7.5)
    axes.set_xlabel("distance of the key, from")
    axes.set_ylabel("mean mass")
