"""Choice of the baselines' settings from the sweep."""

import json

import pandas as pd

from dynatree.analysis.inference import geometric_mean
from dynatree.config.jobs import TUNED_METHODS


def choose(sweep: pd.DataFrame) -> dict[str, dict[str, dict]]:
    """Return the options of the fastest chain and the fastest fixed tree on the tuning prompts of each data set.

    Args:
        sweep: summary of the sweep.

    Returns:
        Published data set -> tuned method -> the options of the case with the highest speed-up by work. Work depends
        less on the noise of few requests than time does. Ties go to the first case of the sweep, which is the smallest.
    """
    chosen: dict[str, dict[str, dict]] = {}
    for (stands_for, method), rows in sweep.groupby(["stands_for", "method"], sort=False):
        if method in TUNED_METHODS:
            speedups = rows.groupby("case", sort=False)["work_speedup"].agg(
                lambda values: geometric_mean(values.to_numpy())
            )
            best = rows[rows["case"] == speedups.idxmax()].iloc[0]
            chosen.setdefault(str(stands_for), {})[str(method)] = json.loads(best["options"])
    return chosen
