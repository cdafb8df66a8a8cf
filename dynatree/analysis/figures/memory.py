"""Peak memory by component."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dynatree.analysis.figures.panels import case_rows, cases, compact, dataset_panels, name_rows, stacked, write_values

WEIGHTS = {"weights_target_mib": ("target's weights", "#0072B2"), "weights_draft_mib": ("draft's weights", "#56B4E9")}
WORKING = {
    "cache_target_mib": ("target's cache", "#009E73"),
    "cache_draft_mib": ("draft's cache", "#A6DDC9"),
    "logits_mib": ("logits", "#E69F00"),
    "other_mib": ("other", "#999999"),
}


def figure(memory: pd.DataFrame) -> Figure:
    """Draw the peak of every case with its ratio to the baseline, and the part beyond the weights enlarged."""
    frame = memory.assign(working_mib=memory[list(WORKING)].sum(axis=1))
    names = list(cases(frame).values())
    figure, panels = dataset_panels(frame, 2, 0.5 + 0.22 * len(names), sharex="col", sharey=True)
    for dataset, (left, right) in panels.items():
        rows = case_rows(frame, dataset)
        totals = [
            compact(peak) and f"{compact(peak)} ({over:.2f}x)"
            for peak, over in zip(rows["peak_mib"], rows["over_baseline"], strict=True)
        ]
        beyond = list(map(compact, rows["working_mib"]))
        for axes, parts, total, texts in (
            (left, WEIGHTS | WORKING, "peak_mib", totals),
            (right, WORKING, "working_mib", beyond),
        ):
            stacked(axes, rows, {name: fill for name, (_, fill) in parts.items()})
            name_rows(axes, names)
            write_values(axes, rows[total].to_numpy(), texts, max_value=frame[total].max())
    left.set_xlabel("peak memory (MiB), ratio to autoregressive")
    right.set_xlabel("of it beyond the weights (MiB)")
    handles = [Patch(facecolor=fill, label=label) for label, fill in (WEIGHTS | WORKING).values()]
    figure.legend(handles=handles, loc="outside upper center", ncols=6, fontsize=8, columnspacing=1.0, handlelength=1.2)
    return figure
