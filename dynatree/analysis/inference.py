"""Intervals, exact tests and corrections for few prompts.

Articles are the unit: prompts of one article are not independent, so they count once, by their mean.
``docs/statistics.md`` shows how often these intervals cover.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

MIN_INTERVAL = 4  # values; with fewer, an interval says nothing
MIN_TEST = 6  # values; with fewer, no exact test reaches 5 %
CONFIDENCE = 0.95
EXACT = 16  # values up to which all sign flips are enumerated
DRAWS = 100_000  # sign flips drawn for more values
SEED = 20_250_101
EQUAL = 1e-12  # smaller differences are rounding errors

Statistic = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Estimate:
    """A mean over articles.

    Attributes:
        value: the mean, or the geometric mean of ratios.
        low, high: bounds of its 95 % interval; NaN for fewer than ``MIN_INTERVAL`` articles.
        error: standard error, of the logarithm for ratios.
        freedom: degrees of freedom of the standard error.
        values: one value per article, their logarithms for ratios.
    """

    value: float
    low: float
    high: float
    error: float
    freedom: float
    values: np.ndarray

    @property
    def n(self) -> int:
        """Number of articles."""
        return len(self.values)

    @property
    def effect(self) -> float:
        """Cohen's d_z: mean over standard deviation; NaN where nothing varies."""
        if self.n < 2 or np.ptp(self.values) <= EQUAL:
            return float("nan")
        return float(self.values.mean() / self.values.std(ddof=1))


def geometric_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return the geometric mean, the appropriate average of ratios."""
    return np.exp(np.mean(np.log(values), axis=axis))


def interval(
    values: Sequence[float] | np.ndarray, statistic: Statistic = np.mean, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Return the mean or the geometric mean of ``values`` and its t interval, for a geometric mean on logarithms.

    Args:
        values: independent values, one per article.
        statistic: ``np.mean`` or :func:`geometric_mean`.
        confidence: nominal coverage.

    Returns:
        The statistic, and the lower and upper bound; NaN bounds for fewer than ``MIN_INTERVAL`` values.
    """
    array = np.asarray(values, dtype=float)
    found = estimate(pd.Series(array, dtype=float), statistic)
    return (found.value, *bounds(found, statistic is geometric_mean, confidence))


def estimate(values: pd.Series, statistic: Statistic = np.mean) -> Estimate:
    """Return the mean over articles with its standard error.

    Args:
        values: one value per prompt, or per prompt and sitting; the index levels "article" and "sitting" count. With
            several sittings, articles and sittings are crossed random effects, and the degrees of freedom are those of
            Satterthwaite (1946).
        statistic: ``np.mean`` or :func:`geometric_mean`.
    """
    logs = statistic is geometric_mean
    table = _table(np.log(values) if logs else values)
    means = np.nanmean(table, axis=1) if len(table) else np.empty(0)
    error, freedom = _crossed(table) if table.shape[1] > 1 and not np.isnan(table).any() else _simple(means)
    centre = float(means.mean()) if len(means) else float("nan")
    found = Estimate(math.exp(centre) if logs else centre, math.nan, math.nan, error, freedom, means)
    low, high = bounds(found, logs)
    return Estimate(found.value, low, high, error, freedom, means)


def bounds(found: Estimate, logs: bool, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the bounds of the t interval of an estimate; NaN for fewer than ``MIN_INTERVAL`` values."""
    if found.n < MIN_INTERVAL:
        return math.nan, math.nan
    centre, half = float(found.values.mean()), 0.0
    if found.error > EQUAL:
        half = float(stats.t.ppf(0.5 + confidence / 2, found.freedom)) * found.error
    low, high = centre - half, centre + half
    return (math.exp(low), math.exp(high)) if logs else (low, high)


def _table(values: pd.Series) -> np.ndarray:
    """Return the means [articles, sittings]; NaN where an article has no value in a sitting."""
    names, found = values.index.names, values.to_numpy(dtype=float)
    if "article" not in names:
        return found[:, None]
    rows, articles = pd.factorize(values.index.get_level_values("article"), sort=True)
    columns, sittings = np.zeros(len(found), dtype=int), [None]
    if "sitting" in names:
        columns, sittings = pd.factorize(values.index.get_level_values("sitting"), sort=True)
    sums, counts = np.zeros((2, len(articles), len(sittings)))
    known = ~np.isnan(found)
    np.add.at(sums, (rows[known], columns[known]), found[known])
    np.add.at(counts, (rows[known], columns[known]), 1)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _simple(means: np.ndarray) -> tuple[float, float]:
    n = len(means)
    return (float(means.std(ddof=1)) / math.sqrt(n), n - 1.0) if n > 1 else (math.nan, math.nan)


def _crossed(array: np.ndarray) -> tuple[float, float]:
    """Return standard error and degrees of freedom of the grand mean of articles crossed with sittings."""
    rows, columns = array.shape
    if rows < 2:
        return math.nan, math.nan
    by_row, by_column = array.mean(axis=1), array.mean(axis=0)
    rest = array - by_row[:, None] - by_column + array.mean()
    squares = (
        columns * by_row.var(ddof=1),
        rows * by_column.var(ddof=1),
        (rest**2).sum() / ((rows - 1) * (columns - 1)),
    )
    total = squares[0] + squares[1] - squares[2]
    if total <= squares[0]:  # no variance between sittings
        return math.sqrt(squares[0] / array.size), rows - 1.0
    weights = (rows - 1, columns - 1, (rows - 1) * (columns - 1))
    spread = sum(square**2 / weight for square, weight in zip(squares, weights, strict=True))
    return math.sqrt(total / array.size), float(total**2 / spread)


def sign_flip(values: Sequence[float] | np.ndarray) -> float:
    """Return the two-sided p-value of the exact sign-flip test that values are symmetric about zero.

    All flips are enumerated for up to ``EXACT`` values; beyond, ``DRAWS`` flips are drawn from a fixed seed.

    Returns:
        NaN without values. The smallest possible value for n values is ``2 ** (1 - n)``.
    """
    array = np.asarray(values, dtype=float)
    n = len(array)
    if not n:
        return float("nan")
    if n <= EXACT:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        extra = 0
    else:
        signs = np.random.default_rng(SEED).choice((-1, 1), size=(DRAWS, n))
        extra = 1
    sums = np.abs(signs @ array)
    hits = int((sums >= abs(array.sum()) - EQUAL * max(1.0, float(np.abs(array).sum()))).sum())
    return (hits + extra) / (len(signs) + extra)


def equivalent(found: Estimate, logs: bool, limit: float, margin: float) -> bool:
    """Return True if the 90 % interval lies within a margin of a limit: two one-sided tests at 5 % (TOST).

    Args:
        found: the estimate.
        logs: True for ratios, whose margin is relative.
        limit: value that the estimate is compared with.
        margin: largest difference without practical importance; for ratios a share.
    """
    if found.n < MIN_TEST:
        return False
    low, high = bounds(found, logs, 0.9)
    if logs:
        return limit / (1 + margin) <= low and high <= limit * (1 + margin)
    return limit - margin <= low and high <= limit + margin


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down correction of a family of p-values, in the given order.

    NaN stands for a comparison that was not made. It stays NaN and does not count.
    """
    values = np.asarray(p_values, dtype=float)
    corrected = np.full(len(values), np.nan)
    made = np.flatnonzero(~np.isnan(values))
    order = made[np.argsort(values[made], kind="stable")]  # ascending
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1)
    return corrected.tolist()


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return the q-values of a family of tests: the lowest false-discovery rates at which each is a discovery.

    Procedure of Benjamini and Hochberg (1995). NaN stands for a test that was not made, and stays NaN.
    """
    values = np.asarray(p_values, dtype=float)
    adjusted = np.full(len(values), np.nan)
    made = np.flatnonzero(~np.isnan(values))
    order = made[np.argsort(-values[made], kind="stable")]  # descending
    ranks = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum.accumulate(np.minimum(values[order] * len(order) / ranks, 1))
    return adjusted.tolist()
