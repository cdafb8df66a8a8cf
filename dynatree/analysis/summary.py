"""Summaries of raw records: one row per request, and one row per case."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from dynatree.analysis.statistics import (
    distinct_ngrams,
    geometric_mean,
    holm,
    interval,
    looping_share,
    paired_ratios,
    paired_test,
    published_acceptance,
    time_per_token,
)
from dynatree.benchmark.records import Measurement, Record, read_records
from dynatree.config.jobs import BASELINE, Case, Job
from dynatree.errors import DynatreeError

REMEDY = "delete the older files and run the pipeline again"
LARGEST_MARGIN = 1.0  # logits

SAME = {
    "code": lambda session: session["code"],
    "machines": lambda session: [session["environment"][key] for key in ("machine", "device", "threads", "versions")],
    "models": lambda session: [session["models"][role]["sha256"] for role in ("target", "draft")],
}
SAME_FORMAT = {"number formats": lambda session: session["job"]["dtype"]}


def read_all(paths: list[Path], mixed_formats: bool = False) -> list[Measurement]:
    """Read measurements that belong together, one from each file.

    Args:
        paths: files of records.
        mixed_formats: accept different number formats.

    Raises:
        DynatreeError: a file is damaged; or the files come from different code, machines, models or formats; or the
            tokens of a case differ from the baseline in float32, or in another format by more than ``LARGEST_MARGIN``
            from the argmax of the target.
    """
    measurements = [read_records(path) for path in paths]
    for name, read in (SAME if mixed_formats else SAME | SAME_FORMAT).items():
        files = zip(paths, measurements, strict=True)
        values = {str(read(session)): path for path, found in files for session in found.sessions.values()}
        if len(values) > 1:
            raise DynatreeError(f"{' and '.join(map(str, values.values()))} come from different {name}; {REMEDY}")
    for path, measurement in zip(paths, measurements, strict=True):
        _check_outputs(path, measurement)
    return measurements


def _check_outputs(path: Path, measurement: Measurement) -> None:
    for record in measurement.records:
        exact = measurement.job.must_equal(record.group, record.case)
        if exact and record.divergence is not None:
            raise DynatreeError(
                f"{path}: {record.case} differs from the baseline on prompt {record.prompt!r}; it is not lossless"
            )
        if not exact and record.margin is not None and record.margin > LARGEST_MARGIN:
            raise DynatreeError(
                f"{path}: {record.case} emits a token on prompt {record.prompt!r} whose logit is {record.margin:.2f} "
                f"below the target's best; beyond {LARGEST_MARGIN} this is no rounding of a near tie"
            )


def per_request(name: str, measurement: Measurement) -> pd.DataFrame:
    """Return one row per record of the job ``name`` with the derived quantities of a single request."""
    rows = []
    for record in measurement.records:
        case = measurement.job.groups[record.group].cases[record.case]
        rows.append(_names(name, measurement, record, case) | _quantities(record, case) | case.factors)
    return pd.DataFrame(rows)


def _names(name: str, measurement: Measurement, record: Record, case: Case) -> dict:
    return {
        "experiment": measurement.job.experiment,
        "job": name,
        "dataset": measurement.job.dataset,
        "stands_for": measurement.sessions[record.session]["dataset"]["stands_for"],
        "group": record.group,
        "case": record.case,
        "method": case.method,
        "engine": case.engine,
        "dtype": measurement.job.dtype,
        "session": record.session,
        "baseline": record.baseline,
        "prompt": record.prompt,
        "prompt_tokens": record.prompt_tokens,
        "repetition": record.repetition,
        "order": record.order,
    }


def _quantities(record: Record, case: Case) -> dict:
    new, seconds = len(record.tokens), record.seconds
    return {
        "new_tokens": new,
        "seconds": seconds["total"],
        "throughput": new / seconds["total"],
        "ttft_ms": 1e3 * seconds["ttft"],
        "tpot_ms": 1e3 * time_per_token(seconds["total"], seconds["ttft"], new),
        "rounds": record.rounds,
        "tokens_per_round": _ratio(new - 1, record.rounds),
        "acceptance_rate": _ratio(record.accepted, record.drafted_depth),
        "draft_precision": _ratio(record.accepted, record.verified),
        "published_acceptance": published_acceptance(case, new, record.rounds),
        "draft_forwards": record.draft_forwards,
        "verified": record.verified,
        "accepted": record.accepted,
        "draft_rows": np.nan if record.draft_rows is None else record.draft_rows,
        "draft_forwards_per_token": _ratio(record.draft_forwards, new),
        "verified_per_token": _ratio(record.verified, new),
        **{f"{part}_ms": 1e3 * seconds.get(part, np.nan) for part in ("prefill", "draft", "verify", "other")},
        "overhead_share": _ratio(seconds.get("other"), seconds["total"] - seconds.get("prefill", 0)),
        "calibration_error": _calibration_error(record),
        "looping_share": looping_share(record.tokens),
        "distinct_4grams": distinct_ngrams(record.tokens),
        "divergence": record.divergence,
        "identical": record.divergence is None,
        "margin": record.margin,
        "load": record.load,
        "clock": record.clock,
    }


def _calibration_error(record: Record) -> float:
    found = record.trace["calibration_error"] if record.trace else None
    return float("nan") if found is None else found


def _ratio(part: float | None, whole: float | None) -> float:
    return part / whole if part is not None and whole else np.nan


AVERAGED = (
    "prompt_tokens",
    "throughput",
    "ttft_ms",
    "tpot_ms",
    "rounds",
    "tokens_per_round",
    "acceptance_rate",
    "draft_precision",
    "published_acceptance",
    "draft_forwards_per_token",
    "verified_per_token",
    "draft_rows",
    "prefill_ms",
    "draft_ms",
    "verify_ms",
    "other_ms",
    "overhead_share",
    "looping_share",
    "distinct_4grams",
)
WITH_INTERVAL = ("throughput", "ttft_ms", "tpot_ms", "tokens_per_round", "acceptance_rate")


def summarize(job: Job, requests: pd.DataFrame) -> pd.DataFrame:
    """Return one row per group and case of a job: means over prompts, the paired speed-up, its test, 95 % intervals.

    Repetitions of a prompt count once, by their median. The speed-up is the geometric mean over prompts of the ratio of
    throughputs to the paired baseline. The p-values are Holm-corrected over the cases of a group.
    """
    return pd.concat(
        [_group_rows(job, requests[requests["group"] == group], group) for group in job.groups],
        ignore_index=True,
    )


def _group_rows(job: Job, requests: pd.DataFrame, group: str) -> pd.DataFrame:
    per_prompt = requests.groupby(["case", "prompt"], sort=False).median(numeric_only=True)
    identical = requests.groupby(["case", "prompt"], sort=False)["identical"].all()
    rows = []
    for case, settings in job.groups[group].cases.items():
        values = per_prompt.loc[case]
        ratios = (
            values["throughput"] ** 0 if case == BASELINE else paired_ratios(requests, case, BASELINE, "throughput")
        )
        p, effect = paired_test(np.log(ratios)) if case != BASELINE else (np.nan, np.nan)
        first = requests[requests["case"] == case].iloc[0]
        row = {name: first[name] for name in NAMES}
        row |= {
            "options": json.dumps(settings.options),
            "prompts": len(values),
            "repetitions": job.repetitions,
            "new_tokens": int(values["new_tokens"].max()),
            "identical": int(identical.loc[case].sum()),
            "margin": values["margin"].max() if "margin" in values else np.nan,
        }
        row |= {name: values[name].mean() if name in values else np.nan for name in AVERAGED}
        for name in WITH_INTERVAL:
            row |= _with_bounds(name, values[name].dropna() if name in values else pd.Series(dtype=float))
        row |= _with_bounds("speedup", ratios, geometric_mean) | {"speedup_p": p, "speedup_effect": effect}
        rows.append(row | settings.factors)
    frame = pd.DataFrame(rows)
    tested = frame["case"] != BASELINE
    frame.loc[tested, "speedup_p"] = holm(frame.loc[tested, "speedup_p"].to_list())
    return frame


NAMES = (
    "experiment",
    "job",
    "dataset",
    "stands_for",
    "group",
    "case",
    "method",
    "engine",
    "dtype",
)


def _with_bounds(name: str, values: pd.Series, statistic=np.mean) -> dict[str, float]:
    if values.empty:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    centre, low, high = interval(values.to_numpy(), statistic)
    return {name: centre, f"{name}_low": low, f"{name}_high": high}


def run_facts(measurements: list[Measurement]) -> dict:
    """Return the facts that the paper states about a run: machine, models, texts and times."""
    last = max((measurement.latest for measurement in measurements), key=lambda session: session["started"])
    times = [record.time for measurement in measurements for record in measurement.records]
    return {
        "environment": last["environment"],
        "models": last["models"],
        "code": last["code"],
        "datasets": {measurement.job.dataset: measurement.latest["dataset"] for measurement in measurements},
        "requests": len(times),
        "started": min(times),
        "finished": max(times),
    }
