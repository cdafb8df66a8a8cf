"""Evaluation of the predicate of a claim on the results of a run."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from dynatree.analysis.inference import MIN_TEST, Estimate, Statistic, equivalent, estimate, geometric_mean, sign_flip
from dynatree.analysis.names import LIMITS, QUANTITIES, SHARES, UPWARDS, WORK
from dynatree.analysis.published import Margins
from dynatree.analysis.selection import NotMeasured, describe, paired, per_prompt, select, with_speedup
from dynatree.analysis.statistics import compare
from dynatree.config.jobs import AGAIN, BASELINE
from dynatree.errors import DynatreeError

SAME_GROUP = ["job", "group", "article", "prompt", "sitting"]
SAME_JOB = ["job", "article", "prompt", "sitting"]
COUNTED = ("rounds", "tokens_per_round")  # quantities that the size of a tree bounds


@dataclass(frozen=True)
class Finding:
    """Result of a run for a claim.

    Attributes:
        value: the measured quantity.
        low, high: its 95 % interval; NaN for few articles.
        n: number of articles.
        p: two-sided p-value against the limit; 0 for a deterministic quantity, NaN for few articles.
        side: 1 if the value lies on the claimed side, -1 on the other side.
        near: True if the quantity is equivalent to the limit within the margin.
        margin: the margin.
        work: the same ratio by work; NaN if it is unknown or the claim is not about a ratio of times.
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
    work: float = math.nan
    blocked: str = ""
    what: str = ""
    note: str = ""


def evaluate(
    predicate: dict, requests: dict[str, pd.DataFrame], memory: pd.DataFrame | None, margins: Margins
) -> Finding:
    """Compare a claim with the results alone, independently of their machine.

    Raises:
        NotMeasured: the run lacks data that the predicate needs, or the comparison is vacuous.
    """
    kind = predicate["kind"]
    if kind == "memory":
        return _memory(predicate, _of_dataset(predicate, memory, "memory"))
    if kind == "all":
        return _all(predicate, _experiment(predicate, requests))
    return KINDS[kind](predicate, with_speedup(_experiment(predicate, requests)), margins)


def _experiment(predicate: dict, requests: dict[str, pd.DataFrame]) -> pd.DataFrame:
    name = predicate["experiment"]
    frame = pd.concat(requests.values(), ignore_index=True) if name == "all" and requests else requests.get(name)
    return _of_dataset(predicate, frame, name)


def _of_dataset(predicate: dict, frame: pd.DataFrame | None, experiment: str) -> pd.DataFrame:
    if frame is None or frame.empty:
        what = "any experiment" if experiment == "all" else f"the experiment {experiment}"
        raise NotMeasured(f"The run does not include {what}.")
    dataset = predicate.get("dataset")
    rows = frame if dataset is None else frame[frame["stands_for"] == dataset]
    if rows.empty:
        raise NotMeasured(f"The experiment {experiment} of this run has no prompts that stand for {dataset}.")
    return rows.reset_index(drop=True)


def _pair(predicate: dict, frame: pd.DataFrame, margins: Margins) -> Finding:
    of, over = (_one_case(frame, predicate[side]) for side in ("of", "over"))
    _check_opponent(predicate["quantity"], of, over)
    keys = SAME_JOB if predicate.get("across") == "groups" else SAME_GROUP
    return _compared(predicate, frame, of, over, keys, margins)


def _compared(
    predicate: dict, frame: pd.DataFrame, of: pd.DataFrame, over: pd.DataFrame, keys: list[str], margins: Margins
) -> Finding:
    """Return the finding on the ratio or the difference of two cases."""
    quantity = predicate["quantity"]
    both = paired(of, over, quantity, keys)
    if predicate["kind"] == "difference":
        found = estimate(both["of"] - both["over"])
        return _finding(predicate, found, np.mean, margins.shares, f"the difference in {QUANTITIES[quantity]}")
    found = estimate(_ratios(both, quantity), geometric_mean)
    margin = margins.shares if quantity in SHARES else margins.counts
    if quantity in WORK:
        margin = max(margins.times, again_spread(frame, margins))
    made = _finding(predicate, found, geometric_mean, margin, f"the ratio of {QUANTITIES[quantity]}")
    return _checked_by_work(predicate, made, of, over, keys) if quantity in WORK else made


def _checked_by_work(predicate: dict, made: Finding, of: pd.DataFrame, over: pd.DataFrame, keys: list[str]) -> Finding:
    """Return a finding on times with the ratio of work, which must lie on the same side of the limit."""
    limit = predicate[limit_name(predicate)] if limit_name(predicate) != "between" else 1.0
    name = WORK[predicate["quantity"]]
    try:
        work = float(estimate(_ratios(paired(of, over, name, keys), name), geometric_mean).value)
    except (NotMeasured, KeyError):
        return replace(made, blocked="the forward passes of one side are not recorded")
    blocked = ""
    if abs(math.log(made.value / limit)) <= math.log(1 + made.margin):
        blocked = f"it does not exceed the margin of {100 * made.margin:.2g} %, the spread of the A/A pairs included"
    elif (work - limit) * (made.value - limit) <= 0:
        blocked = f"the ratio of work, {work:.4g}, does not lie on the same side"
    return replace(made, work=work, blocked=blocked)


def again_spread(frame: pd.DataFrame, margins: Margins) -> float:
    """Return the spread of the A/A pairs: the larger distance of their interval from one, as a share."""
    if AGAIN not in set(frame["case"]):
        return margins.times
    found = compare(frame, AGAIN, BASELINE, "throughput")
    ends = [end for end in (found.low, found.high) if not math.isnan(end)] or [found.ratio]
    return max(math.exp(abs(math.log(end))) - 1 for end in ends)


def _value(predicate: dict, frame: pd.DataFrame, margins: Margins) -> Finding:
    quantity = predicate["quantity"]
    values = per_prompt(_one_case(frame, predicate["of"]), quantity, SAME_GROUP)
    statistic = geometric_mean if quantity == "speedup" else np.mean
    return _finding(
        predicate, estimate(values, statistic), statistic, margins.counts, f"the mean {QUANTITIES[quantity]}"
    )


def _every(predicate: dict, frame: pd.DataFrame, margins: Margins) -> Finding:
    """Combine the settings of a claim about every setting.

    The claim holds if it holds for each setting, so the largest p-value counts (intersection-union test). It fails if
    one setting fails, so the smallest p-value counts, multiplied by the number of settings.
    """
    of, over = select(frame, predicate["of"]), select(frame, predicate["over"])
    findings = []
    for (_, group, case), rows in of.groupby(["job", "group", "case"], sort=True):
        partner = select(over, {column: rows[column].iloc[0] for column in predicate.get("match", ())})
        _check_opponent(predicate["quantity"], rows, partner)
        found = _compared(predicate, frame, rows, partner, SAME_GROUP, margins)
        setting = case if group == "all" else f"{case} at {group}"
        findings.append(replace(found, what=f"{found.what} for {setting}, the weakest of the settings,"))
    return _combined(predicate, findings)


def _best(predicate: dict, frame: pd.DataFrame, margins: Margins) -> Finding:
    """Compare the claimed setting with each of the others, as a claim about every one of them."""
    rows = select(frame, predicate["among"])
    claimed = _one_case(rows, predicate["is"])
    others = rows[rows["case"] != claimed["case"].iloc[0]]
    if others.empty:
        raise NotMeasured(f"The run has measured nothing to compare {describe(predicate['is'])} with.")
    above = predicate | {"above": 1}
    findings = []
    for case, rival in others.groupby("case"):
        found = _compared(above, frame, claimed, rival, SAME_GROUP, margins)
        findings.append(replace(found, what=f"{found.what} to {case}, the strongest other setting,"))
    return _combined(above, findings)


def _combined(predicate: dict, findings: list[Finding]) -> Finding:
    up = 1 if limit_name(predicate) in UPWARDS else -1
    weakest = min(findings, key=lambda found: up * found.value)
    against = [found for found in findings if found.side < 0]
    count = len(findings)
    note = f"The value of {count - len(against)} of {count} settings lies on the claimed side."
    near = all(found.near for found in findings)
    if against:
        worst = min(against, key=lambda found: (math.inf if math.isnan(found.p) else found.p, up * found.value))
        return replace(worst, p=min(1.0, worst.p * count), near=near, note=note)
    p = float("nan") if any(math.isnan(found.p) for found in findings) else max(found.p for found in findings)
    blocked = next((found.blocked for found in findings if found.blocked), "")
    return replace(weakest, p=p, near=near, blocked=blocked, note=note)


def _all(predicate: dict, frame: pd.DataFrame) -> Finding:
    """Check that all outputs are identical. Outside of float32, near ties are equivalent."""
    rows = select(frame, predicate["of"])
    right = rows["identical"].astype(bool)
    share, wrong, total = float(right.mean()), rows[~right], len(rows)
    gap = float(wrong["margin"].fillna(np.inf).max()) if len(wrong) else 0.0
    near = bool(len(wrong)) and not (wrong["dtype"] == "float32").any() and gap <= predicate["tie"]
    note = f"Of {total} outputs {total - len(wrong)} equal those of autoregressive decoding."
    if len(wrong) and math.isfinite(gap):
        note += f" The largest gap of the others is {gap:.3g} logits."
    articles = rows["article"].nunique()
    side = 1 if wrong.empty else -1
    return Finding(share, share, share, articles, 0.0, side, near, predicate["tie"], what="the share", note=note)


def _memory(predicate: dict, summary: pd.DataFrame) -> Finding:
    """Return the mean over the data sets; peaks are deterministic, so their range over data sets is the interval."""
    rows = select(summary, predicate["of"])
    values = rows[predicate["quantity"]].dropna()
    if values.empty:
        raise NotMeasured(f"The run has no {predicate['quantity']} for {describe(predicate['of'])}.")
    value, low, high = float(values.mean()), float(values.min()), float(values.max())
    sides = {_side(predicate, end) for end in (low, high)}
    how = " and ".join(sorted(set(rows["how"].astype(str))))
    what = f"the ratio of peak memory to autoregressive decoding, by {how},"
    p = 0.0 if len(sides) == 1 else 1.0
    return Finding(value, low, high, len(values), p, _side(predicate, value), False, 0.0, what=what)


KINDS: dict[str, Callable[[dict, pd.DataFrame, Margins], Finding]] = {
    "ratio": _pair,
    "difference": _pair,
    "value": _value,
    "every": _every,
    "best": _best,
}


def _one_case(frame: pd.DataFrame, choice: str | dict) -> pd.DataFrame:
    rows = select(frame, choice)
    cases = sorted(set(rows["case"]))
    if len(cases) > 1:
        raise DynatreeError(f"{describe(choice)} fits several cases, {', '.join(cases)}; narrow the choice to one")
    return rows


def _check_opponent(quantity: str, of: pd.DataFrame, over: pd.DataFrame) -> None:
    """Raise NotMeasured if the size of the opponent alone decides the comparison."""
    if "max_path" not in over or not set(over["method"]) <= {"chain", "fixed_tree"}:
        return
    ours, theirs = of["max_path"].max(), over["max_path"].max()
    if theirs <= 1 or (quantity in COUNTED and theirs <= 2 < ours):
        name = over["case"].iloc[0]
        raise NotMeasured(f"The comparison is vacuous, because {name} drafts at most {theirs:g} tokens on a path here.")


def _ratios(both: pd.DataFrame, quantity: str) -> pd.Series:
    if (both <= 0).any(axis=None):
        raise NotMeasured(f"A {quantity} of zero in this run allows no ratio.")
    return both["of"] / both["over"]


def _finding(predicate: dict, found: Estimate, statistic: Statistic, margin: float, what: str) -> Finding:
    logs = statistic is geometric_mean
    name = limit_name(predicate)
    limits = predicate[name] if name == "between" else [predicate[name]]
    side = _side(predicate, found.value)
    p = float("nan")
    if found.n >= MIN_TEST:
        tests = [sign_flip(found.values - (math.log(limit) if logs else limit)) for limit in limits]
        passed = found.value < limits[0]  # the limit of a range that the value has passed
        p = max(tests) if side > 0 or len(tests) == 1 else tests[0 if passed else 1]
    near = len(limits) == 1 and equivalent(found, logs, limits[0], margin)
    return Finding(found.value, found.low, found.high, found.n, p, side, near, margin, what=what)


def _side(predicate: dict, value: float) -> int:
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
