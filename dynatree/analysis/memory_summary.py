"""Summary of measured peak memory."""

import pandas as pd

from dynatree.config.jobs import BASELINE


def summarize_memory(measured: pd.DataFrame) -> pd.DataFrame:
    """Return one row per data set and case: the prompt with the highest peak, and the ratio to the baseline's peak."""
    keys = ["dataset", "case"]
    prompts = measured.groupby(keys, sort=False)["prompt"].transform("nunique")
    highest = measured.assign(prompts=prompts).loc[measured.groupby(keys, sort=False)["peak_mib"].idxmax()]
    baseline = highest[highest["case"] == BASELINE].set_index("dataset")["peak_mib"]
    over = highest["peak_mib"] / highest["dataset"].map(baseline)
    return highest.assign(over_baseline=over).drop(columns="prompt").reset_index(drop=True)
