"""What follows from the rows of replays and bounds; see :mod:`dynatree.analysis.replay` and ``bound``."""

import pandas as pd

BASELINE = "autoregressive"
HERE = "here"  # the machine that measured


def with_speedups(replays: pd.DataFrame) -> pd.DataFrame:
    """Replays with "predicted_s", "speedup", "models_speedup", "measured_speedup", "error" and "speedup_error".

    "models_speedup" leaves out the time outside the models, for the method and the baseline alike.
    The errors are those of the predicted seconds and speed-up, as shares of the measured ones.
    """
    predicted = replays["models_s"] + replays["other_s"]
    speedup = replays["baseline_s"] / predicted
    measured = replays["measured_baseline_s"] / replays["measured_s"]
    return replays.assign(
        predicted_s=predicted,
        speedup=speedup,
        models_speedup=replays["baseline_models_s"] / replays["models_s"],
        measured_speedup=measured,
        error=predicted / replays["measured_s"] - 1,
        speedup_error=speedup / measured - 1,
    )


def with_shares(bounds: pd.DataFrame) -> pd.DataFrame:
    """Bounds with the rates "attained" and "oracle", and what share of the oracle's was attained.

    "share" counts the time outside the models against what was attained, "chosen_share" does not.
    """
    oracle = bounds["oracle_tokens"] / bounds["oracle_s"]
    chosen = bounds["attained_tokens"] / bounds["attained_s"]
    attained = bounds["attained_tokens"] / (bounds["attained_s"] + bounds["other_s"])
    return bounds.assign(oracle=oracle, attained=attained, share=attained / oracle, chosen_share=chosen / oracle)
