"""Findings of a run for the claims, compared with the limits of the claims."""

import math
from dataclasses import dataclass, replace

from dynatree.analysis.inference import MIN_TEST, Estimate, Statistic, bounds, equivalent, geometric_mean, sign_flip
from dynatree.analysis.names import LIMITS


@dataclass(frozen=True)
class Finding:
    """Result of a run for a claim.

    Attributes:
        value: the measured quantity.
        low, high: its 95 % interval; NaN for few articles.
        n: number of articles.
        p: two-sided p-value against the limit; 0 for a deterministic quantity, NaN for few articles.
        side: 1 if the value lies on the claimed side, -1 on the other side.
        near: True if the quantity is equivalent to the limit within the margin, for times by work.
        margin: the margin, which does not depend on the run.
        spread: the spread of A/A pairs over as many articles; NaN if the claim is not about a ratio of times.
        work, work_low, work_high: the same ratio by work with its 90 % interval; NaN if it is unknown or the claim is
            not about a ratio of times.
        blocked: why a verdict on time is impossible, or an empty text.
        what: the quantity in words.
        note: a further sentence, or an empty text.
    """

    value: float
    low: float
    high: float
    n: int
    p: float
    side: int
    near: bool
    margin: float
    spread: float = math.nan
    work: float = math.nan
    work_low: float = math.nan
    work_high: float = math.nan
    blocked: str = ""
    what: str = ""
    note: str = ""


def finding_of(predicate: dict, found: Estimate, statistic: Statistic, margin: float, what: str) -> Finding:
    """Return the finding on an estimate: its test against the limit of a claim, its side, and its equivalence.

    Args:
        predicate: predicate of the claim.
        found: the estimate.
        statistic: ``np.mean`` or :func:`geometric_mean`.
        margin: margin of equivalence, for a geometric mean as a share.
        what: the quantity in words.
    """
    logs = statistic is geometric_mean
    name = limit_name(predicate)
    limits = predicate[name] if name == "between" else [predicate[name]]
    side = side_of(predicate, found.value)
    p = float("nan")
    if found.n >= MIN_TEST:
        tests = [sign_flip(found.values - (math.log(limit) if logs else limit)) for limit in limits]
        passed = found.value < limits[0]  # the limit of a range that the value has passed
        p = max(tests) if side > 0 or len(tests) == 1 else tests[0 if passed else 1]
    near = len(limits) == 1 and equivalent(found, logs, limits[0], margin)
    return Finding(found.value, found.low, found.high, found.n, p, side, near, margin, what=what)


def side_of(predicate: dict, value: float) -> int:
    """Return 1 if a value lies on the claimed side of the limit, else -1."""
    name = limit_name(predicate)
    limit = predicate[name]
    claimed = {
        "above": lambda: value > limit,
        "at_least": lambda: value >= limit,
        "below": lambda: value < limit,
        "at_most": lambda: value <= limit,
        "between": lambda: limit[0] <= value <= limit[1],
    }[name]()
    return 1 if claimed else -1


def limit_name(predicate: dict) -> str:
    """Return the key in LIMITS that the predicate has."""
    return next(name for name in LIMITS if name in predicate)


def limit(predicate: dict) -> str:
    """Return the claimed side in words."""
    if predicate["kind"] == "all":
        return "1"
    if predicate["kind"] == "best":
        return "above 1"
    name = limit_name(predicate)
    if name == "between":
        return "between {:g} and {:g}".format(*predicate[name])
    return f"{name.replace('_', ' ')} {predicate[name]:g}"


def checked_by_work(predicate: dict, made: Finding, work: Estimate) -> Finding:
    """Return a finding on times, checked by the ratio of work.

    Work has no timing noise, so it decides on equivalence. The times contradict if their 95 % interval misses the
    margin, and their ratio also exceeds the spread of the A/A pairs. A difference needs the same side of the limit in
    times and work, and a ratio of times beyond the margin and the spread.

    Args:
        predicate: predicate of the claim.
        made: the finding on times, with the spread of the A/A pairs.
        work: the estimate of the ratio of work.
    """
    name = limit_name(predicate)
    limit = 1.0 if name == "between" else predicate[name]
    reach = max(made.margin, made.spread)
    beyond = abs(math.log(made.value / limit)) > math.log(1 + reach)
    apart = made.low > limit * (1 + made.margin) or made.high < limit / (1 + made.margin)
    same = name != "between" and equivalent(work, True, limit, made.margin)
    contradicted = same and apart and beyond
    blocked = ""
    if not beyond:
        blocked = f"it does not exceed {100 * reach:.2g} %, the larger of the margin and the spread of the A/A pairs"
    elif same:
        blocked = f"the ratio of work, {work.value:.4g}, is equivalent to the limit"
    elif (work.value - limit) * (made.value - limit) <= 0:
        blocked = f"the ratio of work, {work.value:.4g}, does not lie on the same side"
    low, high = bounds(work, True, 0.9)
    note = "The ratio of work is equivalent to the limit, but the times contradict." if contradicted else ""
    made = replace(made, near=same and not contradicted, blocked=blocked, note=note)
    return replace(made, work=work.value, work_low=low, work_high=high)
