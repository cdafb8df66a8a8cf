"""Whatever decodes the same models without loss."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dynatree.analysis.figures.panels import MARKERS, cases, color, dataset_handles, datasets, name_rows
from dynatree.analysis.figures.style import plt
from dynatree.analysis.tables.peers import peers_frame

SPREAD = 0.22  # vertical distance of the data sets of a method


def peers_figure(requests: pd.DataFrame) -> Figure:
    """Paired speed-up of every method on every data set and on all together, one panel per number of new tokens."""
    frame = peers_frame(requests)
    frame = frame[frame["case"] != "autoregressive"]
    names, sets = cases(frame), list(datasets(frame))
    sizes = sorted(frame["new_tokens"].unique())
    height = 1.1 + 0.33 * len(names)
    figure, panels = plt.subplots(1, len(sizes), figsize=(7.2, height), sharex=True, sharey=True, layout="constrained")
    for axes, size in zip(np.atleast_1d(panels), sizes, strict=True):
        rows = frame[frame["new_tokens"] == size]
        for index, dataset in enumerate(sets):
            part = rows[rows["dataset"] == dataset].set_index("case").reindex(list(names))
            places = np.arange(len(names)) + (index - (len(sets) - 1) / 2) * SPREAD
            for place, (case, row) in zip(places, part.iterrows(), strict=True):
                axes.plot([row["speedup_low"], row["speedup_high"]], [place] * 2, color=color(case), linewidth=1.3)
                axes.plot(row["speedup"], place, MARKERS[index % len(MARKERS)], color=color(case), markersize=4)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_title(f"{size} new tokens", fontsize=9)
        axes.set_xlabel("paired speed-up over autoregressive")
        name_rows(axes, list(names.values()))
    figure.legend(handles=dataset_handles(frame), loc="outside upper center", ncols=4)
    return figure
