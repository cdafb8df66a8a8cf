"""Speed-up of every lossless decoding method on the same models."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynatree.analysis.figures.panels import case_colors, cases, name_rows
from dynatree.analysis.figures.style import plt
from dynatree.analysis.tables.peers import OURS, peers_frame
from dynatree.config.jobs import BASELINE


def figure(requests: pd.DataFrame) -> Figure:
    """Draw the paired speed-up of every method over all data sets, for the longest outputs, fastest method first."""
    frame = peers_frame(requests)
    frame = frame[frame["case"] != BASELINE]
    size = frame["new_tokens"].max()
    rows = frame[(frame["new_tokens"] == size) & (frame["dataset"] == frame["dataset"].iloc[-1])]
    rows = rows.sort_values("speedup", ascending=False, kind="stable", ignore_index=True)
    figure, axes = plt.subplots(figsize=(7.2, 0.9 + 0.26 * len(rows)), layout="constrained")
    _dots(axes, rows, case_colors(frame))
    axes.axvline(1, color="black", linewidth=0.8)
    name_rows(axes, list(cases(rows).values()))
    _emphasize(axes, rows.index[rows["case"] == OURS])
    axes.set_xlabel(f"speed-up over autoregressive decoding, {size:g} new tokens, with 95 % interval")
    return figure


def _dots(axes: Axes, rows: pd.DataFrame, colors: dict[str, str]) -> None:
    """Draw a dot with its interval per row, and the value at the right edge."""
    for place, row in rows.iterrows():
        color = colors[row["case"]]
        axes.hlines(place, row["speedup_low"], row["speedup_high"], color=color, linewidth=2)
        axes.plot(row["speedup"], place, "o", color=color, markersize=6)
        at = {"xy": (1, place), "xycoords": axes.get_yaxis_transform(), "xytext": (4, 0), "textcoords": "offset points"}
        weight = "bold" if row["case"] == OURS else "normal"
        axes.annotate(f"{row['speedup']:.2f}x", va="center", fontsize=8, fontweight=weight, **at)


def _emphasize(axes: Axes, places: pd.Index) -> None:
    """Set the recommended method apart from the others."""
    for place in places:
        axes.axhspan(place - 0.5, place + 0.5, color="#FFE9D6", zorder=0)
        axes.get_yticklabels()[place].set_fontweight("bold")
