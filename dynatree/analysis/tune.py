"""Choose the settings of the baselines from the sweep."""

import json

import pandas as pd

from dynatree.analysis.statistics import geometric_mean

KINDS = {"chain": "chain", "tree": "fixed_tree"}


def choose(sweep: pd.DataFrame) -> dict[str, dict]:
    """The fastest chain and the fastest fixed tree on the tuning prompts.

    Args:
        sweep: summary of the sweep.

    Returns:
        "chain" and "tree", where the sweep has such cases -> options of the case with the highest geometric mean over
        the data sets of its paired speed-up; of equally fast ones the first in the sweep, which is the smallest.
    """
    chosen = {}
    for kind, method in KINDS.items():
        rows = sweep[sweep["method"] == method]
        if len(rows):
            speedups = rows.groupby("case", sort=False)["speedup"].agg(lambda values: geometric_mean(values.to_numpy()))
            best = rows[rows["case"] == speedups.idxmax()].iloc[0]
            chosen[kind] = json.loads(best["options"])
    return chosen
