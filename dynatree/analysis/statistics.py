"""Definitions of all reported quantities and their intervals."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from dynatree.config.jobs import BASELINE, Case

RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 20_250_101
EQUAL = 1e-12  # smaller differences of log ratios are rounding errors


def interval(values: Sequence[float] | np.ndarray, statistic: Callable = np.mean) -> tuple[float, float, float]:
    """Return ``statistic`` of ``values`` and its percentile bootstrap 95 % interval.

    Args:
        values: one value per prompt; prompts are resampled.
        statistic: takes an array and an ``axis``.

    Returns:
        The statistic, and the lower and upper bound; both equal the statistic if all values are equal or n is 1.
    """
    array = np.asarray(values, dtype=float)
    centre = float(statistic(array, axis=0))
    if len(array) < 2 or np.ptp(array) == 0:
        return centre, centre, centre
    found = stats.bootstrap(
        (array,),
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return centre, float(found.low), float(found.high)


def geometric_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return the geometric mean, the appropriate average of ratios."""
    return np.exp(np.mean(np.log(values), axis=axis))


def paired_test(log_ratios: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Test with a two-sided paired t-test whether the mean log ratio is zero, and return the effect size.

    Returns:
        The p-value, and Cohen's d_z: mean over standard deviation. Both are NaN for fewer than two prompts. If all
        log ratios are equal, the p-value is 1 if they are zero and 0 otherwise, and d_z is undefined (NaN).
    """
    values = np.asarray(log_ratios, dtype=float)
    if len(values) < 2:
        return float("nan"), float("nan")
    if np.ptp(values) <= EQUAL:
        return float(abs(values.mean()) <= EQUAL), float("nan")
    return float(stats.ttest_1samp(values, 0).pvalue), float(values.mean() / values.std(ddof=1))


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


class Comparison(NamedTuple):
    """Ratio of one case to another on the same prompts."""

    ratio: float
    low: float
    high: float
    p: float
    effect: float
    n: int


TIMED = ("throughput", "ttft_ms", "tpot_ms")


def levelled(requests: pd.DataFrame) -> pd.DataFrame:
    """Return ``requests`` with the times of all sessions scaled to the first session by their baselines.

    When a case is measured again later, the machine may be faster or slower. Both sessions measure the baseline on the
    same prompt. Dividing by it, and multiplying by the baseline of the first session, makes ratios between cases equal
    to ratios of their speed-ups. Requests of a single session do not change.
    """
    if (requests.groupby("job")["baseline"].nunique() <= 1).all():
        return requests
    keys = ["job", "group", "prompt"]
    baselines = requests[requests["case"] == BASELINE].groupby([*keys, "baseline"])[list(TIMED)].median()
    factors = baselines.groupby(keys).transform("first") / baselines
    scale = factors.reindex(pd.MultiIndex.from_frame(requests[[*keys, "baseline"]])).set_axis(requests.index)
    return requests.assign(**{name: requests[name] * scale[name] for name in TIMED})


def paired_ratios(requests: pd.DataFrame, case: str, other: str, quantity: str) -> pd.Series:
    """Return the ratios of ``case`` to ``other`` in ``quantity`` by job, data set, group and prompt that has both.

    Repetitions count once, by their median. If the quantity is missing or zero on one side, there is no ratio.
    """
    requests = levelled(requests)
    keys = [requests[name].astype(str) for name in ("job", "dataset", "group", "prompt")]
    medians = requests[quantity].groupby([requests["case"], *keys]).median()
    pairs = medians.unstack("case").reindex(columns=[case, other])
    pairs = pairs[(pairs > 0).all(axis=1)]
    return pairs[case] / pairs[other]


def compare(requests: pd.DataFrame, case: str, other: str, quantity: str) -> Comparison:
    """Return the geometric mean of the paired ratios of two cases, with its interval, test and effect size.

    See :func:`paired_ratios` for the pairing. Without a pair, all values except n are NaN.
    """
    ratios = paired_ratios(requests, case, other, quantity).to_numpy()
    if not len(ratios):
        nan = float("nan")
        return Comparison(nan, nan, nan, nan, nan, 0)
    ratio, low, high = interval(ratios, geometric_mean)
    p, effect = paired_test(np.log(ratios))
    return Comparison(ratio, low, high, p, effect, len(ratios))


def time_per_token(total: float, ttft: float, tokens: int) -> float:
    """Return the seconds per token after the first."""
    return (total - ttft) / (tokens - 1) if tokens > 1 else float("nan")


def published_acceptance(case: Case, tokens: int, rounds: int) -> float:
    """Return the acceptance rate as the original code computes it, which can exceed 1; NaN for other methods.

    For a chain it is tokens / (K * rounds). For trees it is tokens / (rounds * (D0 + 2)), where the published depth D0
    of a fixed tree is one less than ours, because its root is a drafted token.
    """
    options = case.options
    if case.method == "chain":
        max_tokens = options["length"]
    elif case.method == "fixed_tree":
        max_tokens = options["depth"] + 1
    elif case.method == "dynatree":
        max_tokens = options["base_depth"] + 2
    else:
        return float("nan")
    return tokens / (rounds * max_tokens)


def looping_share(tokens: Sequence[int] | np.ndarray, longest: int = 64) -> float:
    """Return the share of tokens in a loop: immediate repetitions of blocks of up to ``longest`` tokens.

    A token counts if it equals the token one block earlier, and so do at least as many tokens before it as the block
    is long (at least four).
    """
    tokens = np.asarray(tokens)
    looping = np.zeros(len(tokens), dtype=bool)
    for period in range(1, min(longest, len(tokens) - 1) + 1):
        same = np.concatenate((np.zeros(period, dtype=bool), tokens[period:] == tokens[:-period]))
        run = 0
        for index, repeated in enumerate(same):
            run = run + 1 if repeated else 0
            looping[index] |= run >= max(period, 4)
    return float(looping.mean()) if len(tokens) else 0.0


def distinct_ngrams(tokens: Sequence[int], n: int = 4) -> float:
    """Return the number of distinct n-grams divided by the number of all n-grams; 1 if there are none."""
    grams = Counter(zip(*(tokens[i:] for i in range(n)), strict=False))
    return len(grams) / grams.total() if grams else 1.0
