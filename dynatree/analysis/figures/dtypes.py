"""Throughput and speed-up by number format."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynatree.analysis.figures.panels import bounds, case_colors, case_handles, cases, dataset_panels
from dynatree.analysis.figures.style import plain

QUANTITIES = {"throughput": "tokens/s", "speedup": "speed-up"}


def figure(summary: pd.DataFrame) -> Figure:
    """Draw throughput and speed-up by number format; numbers above the bars count outputs identical to the baseline."""
    dtypes = list(dict.fromkeys(summary["dtype"]))
    figure, panels = dataset_panels(summary, 2, 2.1, sharex=True, sharey="col")
    for dataset, row in panels.items():
        rows = summary[summary["dataset"] == dataset]
        for axes, (quantity, label) in zip(row, QUANTITIES.items(), strict=True):
            _bars(axes, rows, summary, dtypes, quantity)
            axes.set_ylabel(label)
            axes.set_xticks(range(len(dtypes)), [plain(name) for name in dtypes])
            axes.tick_params(axis="x", length=0, labelbottom=True)
        row[1].axhline(1, color="black", linewidth=0.8)
    row[1].set_xlabel("on the bars: outputs identical to the baseline's", fontsize=8)
    figure.legend(handles=case_handles(summary), loc="outside upper center", ncols=4)
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, summary: pd.DataFrame, dtypes: list[str], quantity: str) -> None:
    """Draw a group of bars per format, one bar per case, with intervals."""
    names = list(cases(summary))
    width = 0.84 / len(names)
    highest = summary[[quantity, f"{quantity}_high"]].max(axis=None)
    for index, case in enumerate(names):
        part = rows[rows["case"] == case].set_index("dtype").reindex(dtypes)
        x = np.arange(len(dtypes)) + (index - (len(names) - 1) / 2) * width
        style = {"color": case_colors(summary)[case], "error_kw": {"elinewidth": 0.8, "capsize": 1.5}}
        axes.bar(x, part[quantity], width * 0.92, yerr=bounds(part, quantity), **style)
        if quantity == "speedup":
            for position, top, same, all_ in zip(
                x, part["speedup_high"].fillna(part["speedup"]), part["identical"], part["prompts"], strict=True
            ):
                if not np.isnan(top):
                    text = f"{same:.0f}/{all_:.0f}"
                    axes.text(position, top + highest * 0.03, text, rotation=90, ha="center", va="bottom", fontsize=7)
    axes.set_ylim(0, highest * (1.28 if quantity == "speedup" else 1.08))
