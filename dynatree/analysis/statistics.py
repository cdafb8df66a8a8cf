"""Definitions of all reported quantities and their paired comparisons."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
import pandas as pd

from dynatree.analysis.inference import estimate, geometric_mean, sign_flip
from dynatree.config.jobs import BASELINE, Case


class Comparison(NamedTuple):
    """Ratio of one case to another on the same prompts."""

    ratio: float
    low: float
    high: float
    p: float
    effect: float
    n: int  # articles


TIMED = ("throughput", "ttft_ms", "tpot_ms")


def levelled(requests: pd.DataFrame) -> pd.DataFrame:
    """Return ``requests`` with the times of all sessions scaled to the first session by their baselines.

    When a case is measured again later, the machine may be faster or slower. Both sessions measure the baseline on the
    same prompt. Dividing by it, and multiplying by the baseline of the first session, makes ratios between cases equal
    to ratios of their speed-ups. Requests of a single session do not change.
    """
    keys = list(zip(*(requests[name] for name in ("job", "group", "prompt", "baseline")), strict=True))
    if len({(key[0], key[3]) for key in keys}) == len({key[0] for key in keys}):
        return requests
    is_baseline = requests["case"] == BASELINE
    return requests.assign(**{name: requests[name] * _scales(keys, is_baseline, requests[name]) for name in TIMED})


def _scales(keys: list[tuple], is_baseline: pd.Series, values: pd.Series) -> list[float]:
    """Return the baseline of the first session over that of the session of each request; NaN without one."""
    times: dict[tuple, list[float]] = {}
    for key, counts, value in zip(keys, is_baseline, values, strict=True):
        if counts and not math.isnan(value):
            times.setdefault(key, []).append(value)
    baselines = {key: median(found) for key, found in sorted(times.items())}
    first: dict[tuple, float] = {}
    for key, value in baselines.items():
        first.setdefault(key[:3], value)
    return [first[key[:3]] / baselines[key] if key in baselines else math.nan for key in keys]


UNITS = ["job", "dataset", "group", "article", "prompt", "sitting"]


def paired_ratios(requests: pd.DataFrame, case: str, other: str, quantity: str) -> pd.Series:
    """Return the ratios of ``case`` to ``other`` in ``quantity``, indexed by ``UNITS``, where both were measured.

    Repetitions within a sitting count once, by their median. If the quantity is missing or zero on one side, there is
    no ratio.
    """
    requests = levelled(requests)
    values: dict[str, dict[tuple[str, ...], list[float]]] = {case: {}, other: {}}
    for name, value, *unit in zip(*(requests[column] for column in ("case", quantity, *UNITS)), strict=True):
        if name in values and not math.isnan(value):
            values[name].setdefault(tuple(map(str, unit)), []).append(value)
    of, over = ({unit: median(found) for unit, found in values[name].items()} for name in (case, other))
    units = sorted(unit for unit, value in of.items() if value > 0 and over.get(unit, 0) > 0)
    return pd.Series([of[unit] / over[unit] for unit in units], _index(units), dtype=float)


def _index(units: list[tuple[str, ...]]) -> pd.MultiIndex:
    """Return an index with the levels ``UNITS``; ``MultiIndex.from_tuples`` takes twenty times as long."""
    columns = [[unit[level] for unit in units] for level in range(len(UNITS))]
    levels = [sorted(set(column)) for column in columns]
    codes = [[level.index(name) for name in column] for level, column in zip(levels, columns, strict=True)]
    return pd.MultiIndex(levels, codes, names=UNITS)


def compare(requests: pd.DataFrame, case: str, other: str, quantity: str) -> Comparison:
    """Return the geometric mean of the paired ratios of two cases, with its interval, exact test and effect size.

    See :func:`paired_ratios` for the pairing. Without a pair, all values except n are NaN.
    """
    return comparison(paired_ratios(requests, case, other, quantity))


def comparison(ratios: pd.Series) -> Comparison:
    """Return the geometric mean of ratios, with its interval, exact test against one, effect size and articles."""
    found = estimate(ratios, geometric_mean)
    return Comparison(found.value, found.low, found.high, sign_flip(found.values), found.effect, found.n)


def time_per_token(total: float, ttft: float, tokens: int) -> float:
    """Return the seconds per token after the first."""
    return (total - ttft) / (tokens - 1) if tokens > 1 else float("nan")


def published_acceptance(case: Case, tokens: int, rounds: int) -> float:
    """Return the acceptance rate by the original formula, which can exceed 1; NaN for other methods.

    For a chain it is tokens / (K * rounds). For trees it is tokens / (rounds * (D0 + 2)), where the published depth D0
    of a fixed tree is one less than ours, because its root is a drafted token. Tokens are those that the rounds emit:
    the prefill emits the first token of a request, which does not count.
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
    return (tokens - 1) / (rounds * max_tokens) if rounds else float("nan")


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
