"""Evaluation of the predicate of a claim on the results of a run."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dynatree.analysis.names import CONFIRMED, INCONCLUSIVE, LIMITS, QUANTITIES, REFUTED
from dynatree.analysis.selection import NotMeasured, describe, paired, per_prompt, select, with_speedup
from dynatree.analysis.statistics import geometric_mean, interval
from dynatree.errors import DynatreeError

MIN_PROMPTS = 5  # with fewer, all prompts lie on one side by chance too often
SAME_GROUP = ["job", "group", "prompt"]


@dataclass(frozen=True)
class Finding:
    """Result of a run for a claim: a value with its interval, a verdict, and the reason as a sentence."""

    value: float
    low: float
    high: float
    verdict: str
    reason: str


def evaluate(predicate: dict, requests: dict[str, pd.DataFrame], memory: pd.DataFrame | None) -> Finding:
    """Judge a claim by the results alone, independently of their machine.

    Raises:
        NotMeasured: the run lacks data that the predicate needs.
    """
    kind = predicate["kind"]
    if kind == "memory":
        return _memory(predicate, _of_dataset(predicate, memory, "memory"))
    if kind == "all":
        return _all(predicate, _experiment(predicate, requests))
    return KINDS[kind](predicate, with_speedup(_experiment(predicate, requests)))


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


def _ratio(predicate: dict, frame: pd.DataFrame) -> Finding:
    of, over = (_one_case(frame, predicate[side]) for side in ("of", "over"))
    both = paired(of, over, predicate["quantity"], _keys(predicate))
    return _judged(predicate, _ratios(both, predicate["quantity"]), geometric_mean, f"the ratio of {_name(predicate)}")


def _difference(predicate: dict, frame: pd.DataFrame) -> Finding:
    of, over = (_one_case(frame, predicate[side]) for side in ("of", "over"))
    both = paired(of, over, predicate["quantity"], _keys(predicate))
    return _judged(predicate, both["of"] - both["over"], np.mean, f"the difference in {_name(predicate)}")


def _value(predicate: dict, frame: pd.DataFrame) -> Finding:
    values = per_prompt(_one_case(frame, predicate["of"]), predicate["quantity"], SAME_GROUP)
    statistic = geometric_mean if predicate["quantity"] == "speedup" else np.mean
    return _judged(predicate, values, statistic, f"the mean {_name(predicate)}")


def _every(predicate: dict, frame: pd.DataFrame) -> Finding:
    """Judge a claim about every setting by the setting with the strongest evidence against it."""
    of, over = select(frame, predicate["of"]), select(frame, predicate["over"])
    quantity, findings = predicate["quantity"], []
    for (_, group, case), rows in of.groupby(["job", "group", "case"], sort=True):
        partner = select(over, {column: rows[column].iloc[0] for column in predicate.get("match", ())})
        ratios = _ratios(paired(rows, partner, quantity, SAME_GROUP), quantity)
        setting = case if group == "all" else f"{case} at {group}"
        what = f"the ratio of {_name(predicate)} for {setting}, the weakest case,"
        findings.append(_judged(predicate, ratios, geometric_mean, what))
    verdicts = [finding.verdict for finding in findings]
    worst = next(verdict for verdict in (REFUTED, INCONCLUSIVE, CONFIRMED) if verdict in verdicts)
    side = 1 if limit_name(predicate) in ("above", "at_least") else -1
    weakest = min((f for f in findings if f.verdict == worst), key=lambda f: side * f.value)
    counts = (
        f"{verdicts.count(CONFIRMED)} of {len(verdicts)} cases confirm the claim, {verdicts.count(REFUTED)} refute it"
    )
    return Finding(weakest.value, weakest.low, weakest.high, worst, f"{weakest.reason[:-1]}; {counts}.")


def _best(predicate: dict, frame: pd.DataFrame) -> Finding:
    """Compare the claimed setting with the best of the others."""
    rows, quantity = select(frame, predicate["among"]), predicate["quantity"]
    claimed = _one_case(rows, predicate["is"])
    others = rows[rows["case"] != claimed["case"].iloc[0]]
    if others.empty:
        raise NotMeasured(f"The run has measured nothing to compare {describe(predicate['is'])} with.")
    ratios = {
        case: _ratios(paired(claimed, rival, quantity, SAME_GROUP), quantity) for case, rival in others.groupby("case")
    }
    rival = min(ratios, key=lambda case: (float(geometric_mean(ratios[case].to_numpy())), case))
    what = f"the ratio of {_name(predicate)} to the best other setting, {rival},"
    return _judged(predicate | {"above": 1}, ratios[rival], geometric_mean, what)


def _all(predicate: dict, frame: pd.DataFrame) -> Finding:
    """Check that all outputs are identical; outside of float32, near ties are permitted."""
    rows = select(frame, predicate["of"])
    right = rows["identical"].astype(bool)
    share, wrong, total = float(right.mean()), rows[~right], len(rows)
    if wrong.empty:
        reason = f"All {total} outputs equal those of autoregressive decoding, token for token."
        return Finding(share, share, share, CONFIRMED, reason)
    exact = wrong[wrong["dtype"] == "float32"]
    if not exact.empty:
        reason = f"{len(exact)} of {total} outputs differ from autoregressive decoding in float32."
        return Finding(share, share, share, REFUTED, reason)
    gap = float(wrong["margin"].fillna(np.inf).max())
    differ = f"{len(wrong)} of {total} outputs differ from autoregressive decoding, none of them in float32"
    if gap > predicate["tie"]:
        reason = (
            f"{differ}, but by up to {gap:.3g} logits, more than the {predicate['tie']:g} that rounding can explain."
        )
        return Finding(share, share, share, REFUTED, reason)
    reason = f"{differ}, and by at most {gap:.3g} logits, which are near ties that rounding can decide either way."
    return Finding(share, share, share, INCONCLUSIVE, reason)


def _memory(predicate: dict, summary: pd.DataFrame) -> Finding:
    """Return the mean over the data sets; peaks are deterministic, so their range over data sets is the interval."""
    rows = select(summary, predicate["of"])
    values = rows[predicate["quantity"]].dropna()
    if values.empty:
        raise NotMeasured(f"The run has no {predicate['quantity']} for {describe(predicate['of'])}.")
    value, low, high = float(values.mean()), float(values.min()), float(values.max())
    verdict = _verdict(predicate, low, high)
    number = f"{value:.4g}" if low == high else f"{value:.4g} (from {low:.4g} to {high:.4g} over the data sets)"
    how = " and ".join(sorted(set(rows["how"].astype(str))))
    reason = (
        f"The ratio of peak memory to autoregressive decoding is {number} by {how}; the claim is {limit(predicate)}."
    )
    return Finding(value, low, high, verdict, reason)


KINDS: dict[str, Callable[[dict, pd.DataFrame], Finding]] = {
    "ratio": _ratio,
    "difference": _difference,
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


def _keys(predicate: dict) -> list[str]:
    return ["job", "prompt"] if predicate.get("across") == "groups" else SAME_GROUP


def _name(predicate: dict) -> str:
    return QUANTITIES[predicate["quantity"]]


def _ratios(both: pd.DataFrame, quantity: str) -> pd.Series:
    if (both <= 0).any(axis=None):
        raise NotMeasured(f"A {quantity} of zero in this run allows no ratio.")
    return both["of"] / both["over"]


def _judged(predicate: dict, values: pd.Series, statistic: Callable, what: str) -> Finding:
    value, low, high = interval(values.to_numpy(), statistic)
    shown = f"Over {len(values)} prompt{'s' * (len(values) != 1)} {what} is {value:.4g}"
    bounds = f"[{low:.4g}, {high:.4g}]"
    if len(values) < MIN_PROMPTS:
        reason = f"{shown}, but an interval needs at least {MIN_PROMPTS} prompts."
        return Finding(value, low, high, INCONCLUSIVE, reason)
    verdict = _verdict(predicate, low, high)
    if verdict == CONFIRMED:
        reason = f"{shown}, and its interval {bounds} lies {limit(predicate)}."
    elif verdict == REFUTED:
        reason = f"{shown}, and its interval {bounds} lies entirely outside the claimed range, {limit(predicate)}."
    else:
        reason = f"{shown}, but its interval {bounds} includes {_ends(predicate, low, high)}."
    return Finding(value, low, high, verdict, reason)


def _verdict(predicate: dict, low: float, high: float) -> str:
    name = limit_name(predicate)
    claimed, other = LIMITS[name](low, high, predicate[name])
    return CONFIRMED if claimed else REFUTED if other else INCONCLUSIVE


def limit_name(predicate: dict) -> str:
    """Return the key in LIMITS that the predicate has."""
    return next(name for name in LIMITS if name in predicate)


def limit(predicate: dict) -> str:
    """Return the claimed side in words."""
    name = limit_name(predicate)
    if name == "between":
        return "between {:g} and {:g}".format(*predicate[name])
    return f"{name.replace('_', ' ')} {predicate[name]:g}"


def _ends(predicate: dict, low: float, high: float) -> str:
    name = limit_name(predicate)
    limits = predicate[name] if name == "between" else [predicate[name]]
    return " and ".join(f"{x:g}" for x in limits if low <= x <= high)
