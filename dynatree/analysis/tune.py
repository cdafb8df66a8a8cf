"""Choice of the baselines' settings from the sweep."""

import json

import pandas as pd

from dynatree.analysis.statistics import geometric_mean
from dynatree.config.jobs import TUNED_METHODS


def choose(sweep: pd.DataFrame) -> dict[str, dict]:
    """Return the options of the fastest chain and the fastest fixed tree on the tuning prompts.

    Args:
        sweep: summary of the sweep.

    Returns:
        For each tuned method that the sweep has: the options of the case with the highest geometric mean, over the
        data sets, of its paired speed-up. Ties go to the first case of the sweep, which is the smallest.
    """
    chosen = {}
    for method in TUNED_METHODS:
        rows = sweep[sweep["method"] == method]
        if len(rows):
            speedups = rows.groupby("case", sort=False)["speedup"].agg(lambda values: geometric_mean(values.to_numpy()))
            best = rows[rows["case"] == speedups.idxmax()].iloc[0]
            chosen[method] = json.loads(best["options"])
    return chosen
