"""Speed-ups where passes take other times."""

import numpy as np
import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.replay_metrics import HERE, with_speedups
from dynatree.analysis.statistics import geometric_mean, interval
from dynatree.analysis.tables.booktabs import booktabs
from dynatree.analysis.tables.columns import Column, rounded

MEASURED = "measured"
BOUNDS = ["speedup", "speedup_low", "speedup_high"]
SPEEDUP = Column("speedup", "Speed-up", 2, bounded=True)
MODELS = Column("models_speedup", "Speed-up", 2)
UNITS = {SPEEDUP: "predicted", MODELS: "models alone"}


def projection_table(replays: pd.DataFrame, projection: dict) -> tuple[pd.DataFrame, str]:
    """Per number of new tokens the speed-up of every method, measured and predicted here and predicted elsewhere."""
    frame = projection_frame(replays, projection)
    places = frame.drop_duplicates("place")
    shown = [(place, column) for place in places["place"] for column in (SPEEDUP, MODELS) if _is_shown(place, column)]
    names = dict(zip(places["place"], places["place_label"], strict=True))
    header = ["Method", *(escape(names[place]) for place, _ in shown)]
    units = ["", *(MEASURED if place == MEASURED else UNITS[column] for place, column in shown)]
    groups = [(f"{size} new tokens", _lines(rows, shown)) for size, rows in frame.groupby("new_tokens")]
    keys = ("new_tokens", "case", "label", "decided", "place", "place_label", "pairs")
    return rounded(frame, keys, (SPEEDUP, MODELS)), booktabs(header, groups, units)


def _is_shown(place: str, column: Column) -> bool:
    """Where a pass takes milliseconds or less, the time outside the models matters, and both are of interest."""
    return column is SPEEDUP or place not in (MEASURED, HERE)


def projection_frame(replays: pd.DataFrame, projection: dict) -> pd.DataFrame:
    """One row per number of new tokens, case, who decided its trees, and place, which gives the times of passes.

    "speedup" is over the baseline at the same place, the geometric mean over prompts with its interval. A policy that
    decides by times of passes is "decided" once by those of this machine, as recorded, and once by those of the place.
    "models_speedup" leaves out the time outside the models.
    """
    found = with_speedups(replays)
    measured = found[found["machine"] == HERE].assign(machine=MEASURED, speedup=lambda rows: rows["measured_speedup"])
    measured["models_speedup"] = np.nan
    found = pd.concat([measured, found]).assign(new_tokens=lambda rows: pd.to_numeric(rows["group"]))
    names = {MEASURED: "This machine", HERE: "This machine"}
    names |= {name: machine["label"] for name, machine in projection["machines"].items()}
    rows = []
    for (size, case, decided), part in found.groupby(["new_tokens", "case", "decided"], sort=False):
        label = part["label"].iloc[0] + ("" if decided == HERE else ", deciding there")
        for place, prompts in part.groupby("machine", sort=False):
            ratios = prompts.groupby(["dataset", "prompt"])["speedup"].median()
            bounds = dict(zip(BOUNDS, interval(ratios, geometric_mean), strict=True))
            row = {"new_tokens": size, "case": case, "label": label, "decided": decided, "place": place}
            alone = prompts.groupby(["dataset", "prompt"])["models_speedup"].median()
            row |= {"place_label": names[place], "pairs": len(ratios), "models_speedup": geometric_mean(alone)}
            rows.append(row | bounds)
    order = list(names)
    return pd.DataFrame(rows).sort_values("place", key=lambda places: places.map(order.index), kind="stable")


def _lines(rows: pd.DataFrame, shown: list[tuple[str, Column]]) -> list[list[str]]:
    """A line for each case and decider; a dash where it was not decoded."""
    none = pd.Series(np.nan, index=[*BOUNDS, MODELS.name])
    lines = []
    for _, part in rows.groupby(["case", "decided"], sort=False):
        by_place = part.set_index("place")
        cells = [column.cell(by_place.loc[place] if place in by_place.index else none) for place, column in shown]
        lines.append([escape(part["label"].iloc[0]), *cells])
    return lines
