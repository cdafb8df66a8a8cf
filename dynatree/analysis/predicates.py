"""Evaluation of the predicate of a claim on the results of a run."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from dynatree.analysis.findings import Finding, checked_by_work, finding_of, limit_name, side_of
from dynatree.analysis.inference import estimate, geometric_mean
from dynatree.analysis.names import QUANTITIES, SHARES, UPWARDS, WORK
from dynatree.analysis.noise import Noise
from dynatree.analysis.published import Margins
from dynatree.analysis.selection import NotMeasured, describe, paired, per_prompt, select, with_speedup
from dynatree.errors import DynatreeError

SAME_GROUP = ["job", "group", "article", "prompt", "sitting"]
SAME_JOB = ["job", "article", "prompt", "sitting"]
COUNTED = ("rounds", "tokens_per_round")  # quantities that the size of a tree bounds


def evaluate(
    predicate: dict,
    requests: dict[str, pd.DataFrame],
    memory: pd.DataFrame | None,
    margins: Margins,
    noise: Noise,
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
    return KINDS[kind](predicate, with_speedup(_experiment(predicate, requests)), margins, noise)


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


def _pair(predicate: dict, frame: pd.DataFrame, margins: Margins, noise: Noise) -> Finding:
    of, over = (_one_case(frame, predicate[side]) for side in ("of", "over"))
    _check_opponent(predicate["quantity"], of, over)
    keys = SAME_JOB if predicate.get("across") == "groups" else SAME_GROUP
    return _compared(predicate, of, over, keys, margins, noise)


def _compared(
    predicate: dict, of: pd.DataFrame, over: pd.DataFrame, keys: list[str], margins: Margins, noise: Noise
) -> Finding:
    """Return the finding on the ratio or the difference of two cases."""
    quantity = predicate["quantity"]
    both = paired(of, over, quantity, keys)
    if predicate["kind"] == "difference":
        found = estimate(both["of"] - both["over"])
        return finding_of(predicate, found, np.mean, margins.shares, f"the difference in {QUANTITIES[quantity]}")
    found, what = estimate(_ratios(both, quantity), geometric_mean), f"the ratio of {QUANTITIES[quantity]}"
    if quantity not in WORK:
        margin = margins.shares if quantity in SHARES else margins.counts
        return finding_of(predicate, found, geometric_mean, margin, what)
    made = finding_of(predicate, found, geometric_mean, margins.times, what)
    made = replace(made, spread=noise.spread(found.n))
    try:
        work = estimate(_ratios(paired(of, over, WORK[quantity], keys), WORK[quantity]), geometric_mean)
    except (NotMeasured, KeyError):
        return replace(made, blocked="the forward passes of one side are not recorded")
    return checked_by_work(predicate, made, work)


def _value(predicate: dict, frame: pd.DataFrame, margins: Margins, _: Noise) -> Finding:
    quantity = predicate["quantity"]
    values = per_prompt(_one_case(frame, predicate["of"]), quantity, SAME_GROUP)
    statistic = geometric_mean if quantity == "speedup" else np.mean
    return finding_of(
        predicate, estimate(values, statistic), statistic, margins.counts, f"the mean {QUANTITIES[quantity]}"
    )


def _every(predicate: dict, frame: pd.DataFrame, margins: Margins, noise: Noise) -> Finding:
    """Combine the settings of a claim about every setting.

    The claim holds if it holds for each setting, so the largest p-value counts (intersection-union test). It fails if
    one setting fails, so the smallest p-value counts, multiplied by the number of settings.
    """
    of, over = select(frame, predicate["of"]), select(frame, predicate["over"])
    findings = []
    for (_, group, case), rows in of.groupby(["job", "group", "case"], sort=True):
        partner = select(over, {column: rows[column].iloc[0] for column in predicate.get("match", ())})
        _check_opponent(predicate["quantity"], rows, partner)
        found = _compared(predicate, rows, partner, SAME_GROUP, margins, noise)
        setting = case if group == "all" else f"{case} at {group}"
        findings.append(replace(found, what=f"{found.what} for {setting}, the weakest of the settings,"))
    return _combined(predicate, findings)


def _best(predicate: dict, frame: pd.DataFrame, margins: Margins, noise: Noise) -> Finding:
    """Compare the claimed setting with each of the others, as a claim about every one of them."""
    rows = select(frame, predicate["among"])
    claimed = _one_case(rows, predicate["is"])
    others = rows[rows["case"] != claimed["case"].iloc[0]]
    if others.empty:
        raise NotMeasured(f"The run has measured nothing to compare {describe(predicate['is'])} with.")
    above = predicate | {"above": 1}
    findings = []
    for case, rival in others.groupby("case"):
        found = _compared(above, claimed, rival, SAME_GROUP, margins, noise)
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
        return replace(worst, p=min(1.0, worst.p * count), near=near, note=f"{note} {worst.note}".strip())
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
    sides = {side_of(predicate, end) for end in (low, high)}
    how = " and ".join(sorted(set(rows["how"].astype(str))))
    what = f"the ratio of peak memory to autoregressive decoding, by {how},"
    p = 0.0 if len(sides) == 1 else 1.0
    return Finding(value, low, high, len(values), p, side_of(predicate, value), False, 0.0, what=what)


KINDS: dict[str, Callable[[dict, pd.DataFrame, Margins, Noise], Finding]] = {
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
