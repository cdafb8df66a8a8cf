"""Simulation: how often intervals for few values cover the true mean."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from dynatree.analysis.statistics import paired_ratios
from dynatree.config.jobs import AGAIN, BASELINE

SIZES = (3, 4, 5, 6, 8, 10, 12, 16, 20)
SAMPLES = 20_000
RESAMPLES = 1_000
SEED = 20_250_101


def residuals(requests: pd.DataFrame) -> np.ndarray:
    """Return the deviations of log speed-ups from the mean of their case, of all cases of a main comparison."""
    found = []
    for _, rows in requests.groupby("dataset"):
        for case in set(rows["case"]) - {BASELINE, AGAIN}:
            ratios = np.log(paired_ratios(rows, case, BASELINE, "throughput").to_numpy())
            found.append((ratios - ratios.mean()) * np.sqrt(len(ratios) / (len(ratios) - 1)))
    values = np.concatenate(found)
    return values - values.mean()


def coverage(n: int, draw: Callable[[np.random.Generator, tuple[int, int]], np.ndarray]) -> dict[str, float]:
    """Return the coverage of 95 % intervals for the mean of ``n`` values whose true mean is zero.

    Args:
        n: number of values.
        draw: takes a generator and a shape, and returns values.

    Returns:
        "t" for the t interval, "bootstrap" for the percentile bootstrap.
    """
    rng = np.random.default_rng([SEED, n])
    values = draw(rng, (SAMPLES, n))
    centre, error = values.mean(axis=1), values.std(axis=1, ddof=1) / np.sqrt(n)
    few = values[: SAMPLES // 20]
    chosen = rng.integers(0, n, size=(RESAMPLES, n))
    means = few[:, chosen].mean(axis=2)
    low, high = np.quantile(means, (0.025, 0.975), axis=1)
    return {
        "t": float((np.abs(centre) <= stats.t.ppf(0.975, n - 1) * error).mean()),
        "bootstrap": float(((low <= 0) & (high >= 0)).mean()),
    }


def table(requests: pd.DataFrame) -> str:
    """Return the coverage by number of values as a Markdown table, for normal values and for residuals of a run."""
    rest = residuals(requests)
    lines = [
        "| Articles | t, normal | t, residuals | bootstrap, normal | bootstrap, residuals |",
        "|--:|--:|--:|--:|--:|",
    ]
    for n in SIZES:
        normal = coverage(n, lambda rng, shape: rng.normal(size=shape))
        own = coverage(n, lambda rng, shape: rng.choice(rest, size=shape))
        lines.append(
            f"| {n} | {normal['t']:.3f} | {own['t']:.3f} | {normal['bootstrap']:.2f} | {own['bootstrap']:.2f} |"
        )
    return "\n".join(lines) + "\n"
