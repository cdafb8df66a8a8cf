"""Predicted and measured times, and speed-ups where passes take other times."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynatree.analysis.figures.panels import MARKERS, color, name_rows
from dynatree.analysis.figures.style import plain, plt
from dynatree.analysis.replay_metrics import BASELINE, HERE, with_speedups
from dynatree.analysis.tables.projection import MEASURED, projection_frame

TOLERANCE = 0.1
SPREAD = 0.18  # vertical distance of the places of a method


def projection_figure(replays: pd.DataFrame, projection: dict) -> Figure:
    """Left, each request's predicted over its measured time; right, the speed-ups of the longest outputs by place."""
    frame = projection_frame(replays, projection)
    frame = frame[(frame["new_tokens"] == frame["new_tokens"].max()) & (frame["case"] != BASELINE)]
    names = frame.drop_duplicates("label")["label"].tolist()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 1.4 + 0.36 * len(names)), layout="constrained")
    _times(left, with_speedups(replays[replays["machine"] == HERE]))
    _speedups(right, frame, names)
    figure.legend(handles=_handles(frame), loc="outside upper center", ncols=4)
    return figure


def _times(axes: Axes, rows: pd.DataFrame) -> None:
    for case, part in rows.groupby("case", sort=False):
        axes.plot(part["measured_s"], part["predicted_s"], "o", color=color(case), markersize=3)
    ends = np.array([0, 1.1 * rows["measured_s"].max()])
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.fill_between(ends, ends * (1 - TOLERANCE), ends * (1 + TOLERANCE), color="#DDDDDD", linewidth=0)
    axes.set_xlim(*ends)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("measured seconds after prefill")
    axes.set_ylabel("predicted seconds")
    axes.set_title("here", fontsize=9)


def _speedups(axes: Axes, frame: pd.DataFrame, names: list[str]) -> None:
    places = list(frame.drop_duplicates("place")["place"])
    for _, row in frame.iterrows():
        index = places.index(row["place"])
        place = names.index(row["label"]) + (index - (len(places) - 1) / 2) * SPREAD
        shade = color(row["case"])
        axes.plot([row["speedup_low"], row["speedup_high"]], [place] * 2, color=shade, linewidth=1.2)
        axes.plot(row["speedup"], place, MARKERS[index % len(MARKERS)], color=shade, markersize=4)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("speed-up over autoregressive")
    axes.set_title(f"{frame['new_tokens'].iloc[0]} new tokens", fontsize=9)
    name_rows(axes, [plain(name) for name in names])


def _handles(frame: pd.DataFrame) -> list[Line2D]:
    """One grey marker per place."""
    labels = {MEASURED: "measured here", HERE: "predicted here"}
    places = frame.drop_duplicates("place")
    return [
        Line2D(
            [],
            [],
            linestyle="",
            color="#555555",
            marker=MARKERS[index % len(MARKERS)],
            label=plain(labels.get(place, text)),
        )
        for index, (place, text) in enumerate(zip(places["place"], places["place_label"], strict=True))
    ]
