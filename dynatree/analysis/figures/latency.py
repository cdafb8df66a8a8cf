"""Time to first token and time per further token, by component."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dynatree.analysis.figures.panels import case_rows, cases, compact, dataset_panels, name_rows, stacked, write_values
from dynatree.analysis.tables.latency import split_tpot

PER_TOKEN = {"draft": "#56B4E9", "verify": "#0072B2", "other": "#E69F00", "not split": "#CCCCCC"}
FIRST = {"prefill": "#009E73", "rest": "#A6DDC9", "not split": "#CCCCCC"}


def figure(summary: pd.DataFrame) -> Figure:
    """Draw the components of the time per further token, and the time to first token with its prefill.

    Engines that do not measure the components have bars in one piece.
    """
    frame = _segments(summary)
    names = list(cases(frame).values())
    figure, panels = dataset_panels(frame, 2, 0.5 + 0.22 * len(names), sharex="col", sharey=True)
    for dataset, (left, right) in panels.items():
        rows = case_rows(frame, dataset)
        for axes, parts, total in ((left, PER_TOKEN, "tpot_ms"), (right, FIRST, "ttft_ms")):
            stacked(axes, rows, {f"{total} {part}": fill for part, fill in parts.items()})
            name_rows(axes, names)
            write_values(axes, rows[total].to_numpy(), list(map(compact, rows[total])), max_value=frame[total].max())
    left.set_xlabel("time per token after the first (ms)")
    right.set_xlabel("time to the first token (ms)")
    for axes, parts in ((0, PER_TOKEN), (1, FIRST)):
        handles = [Patch(facecolor=fill, label=part) for part, fill in parts.items()]
        top = next(iter(panels.values()))[axes]
        top.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.09), ncols=4, fontsize=8, **TIGHT)
    return figure


TIGHT = {"columnspacing": 1.0, "handlelength": 1.2}


def _segments(summary: pd.DataFrame) -> pd.DataFrame:
    """Return columns "tpot_ms PART" and "ttft_ms PART" that add up to tpot_ms and ttft_ms."""
    frame = split_tpot(summary)
    prefill = frame["prefill_ms"].clip(upper=frame["ttft_ms"])
    split = {f"tpot_ms {part}": frame[f"{part}_ms_per_token"] for part in ("draft", "verify", "other")}
    split["tpot_ms not split"] = frame["tpot_ms"].where(frame["verify_ms"].isna())
    split |= {"ttft_ms prefill": prefill, "ttft_ms rest": frame["ttft_ms"] - prefill}
    split["ttft_ms not split"] = frame["ttft_ms"].where(prefill.isna())
    return frame.assign(**split)
