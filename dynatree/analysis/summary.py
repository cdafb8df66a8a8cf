"""Summaries of raw records: one row per request, and one row per case."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from dynatree.analysis.inference import Statistic, estimate, holm
from dynatree.analysis.statistics import (
    comparison,
    distinct_ngrams,
    looping_share,
    paired_ratios,
    published_acceptance,
    time_per_token,
)
from dynatree.analysis.work import Latencies, work_of
from dynatree.benchmark.disturbance import seconds_per_pass
from dynatree.benchmark.records import Measurement, Record, read_records
from dynatree.config.jobs import AGAIN, BASELINE, Case, Job
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


def per_request(name: str, measurement: Measurement, times: Latencies | None = None) -> pd.DataFrame:
    """Return one row per record of the job ``name`` with the derived quantities of a single request.

    Args:
        name: name of the job.
        measurement: its records.
        times: cost models of the layers and the number format of the job; None leaves its work unknown.
    """
    job, rows = measurement.job, []
    for record in measurement.records:
        case = job.groups[record.group].cases[record.case]
        quantities = _quantities(record, case) | _work(record, times)
        rows.append(_names(name, measurement, record, case) | quantities | case.factors)
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
        "article": record.article,
        "sitting": measurement.job.sitting(record.repetition),
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
        "max_path": max_path(case),
        "pass_ms": 1e3 * seconds_per_pass(record),
        **record.host,
    }


def max_path(case: Case) -> float:
    """Return the drafted tokens on the longest path that a case permits; NaN for methods of Hugging Face."""
    options = case.options
    if case.engine != "dynatree":
        return float("nan")
    if case.method == "dynatree" and not options.get("adapt_depth", True):
        return options["base_depth"]
    return options.get("length", options.get("depth", options.get("max_depth", 0)))


def _work(record: Record, times: Latencies | None) -> dict:
    new, work = len(record.tokens), work_of(record, times)
    return {
        "work_throughput": new / work["total"],
        "work_ttft_ms": 1e3 * work["ttft"],
        "work_tpot_ms": 1e3 * time_per_token(work["total"], work["ttft"], new),
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

    Repetitions of a prompt within a session count once, by their median, and prompts of an article by their mean. The
    speed-up is the geometric mean of the ratios of throughputs to the paired baseline; the speed-up by work replaces
    times by predicted ones. The p-values are of exact sign-flip tests, Holm-corrected over the cases of a group.
    """
    return pd.concat(
        [_group_rows(job, requests[requests["group"] == group], group) for group in job.groups],
        ignore_index=True,
    )


def _group_rows(job: Job, requests: pd.DataFrame, group: str) -> pd.DataFrame:
    per_prompt = requests.groupby(["case", "article", "prompt", "sitting"], sort=False).median(numeric_only=True)
    identical = requests.groupby(["case", "prompt"], sort=False)["identical"].all()
    rows = []
    for case, settings in job.groups[group].cases.items():
        if case == AGAIN:
            continue
        values = per_prompt.loc[case]
        first = requests[requests["case"] == case].iloc[0]
        row = {name: first[name] for name in NAMES}
        row |= {
            "options": json.dumps(settings.options),
            "prompts": values.index.get_level_values("prompt").nunique(),
            "articles": values.index.get_level_values("article").nunique(),
            "repetitions": job.repetitions,
            "new_tokens": int(values["new_tokens"].max()),
            "identical": int(identical.loc[case].sum()),
            "margin": values["margin"].max() if "margin" in values else np.nan,
        }
        row |= {name: values[name].mean() if name in values else np.nan for name in AVERAGED}
        for name in WITH_INTERVAL:
            row |= _with_bounds(name, values[name].dropna() if name in values else pd.Series(dtype=float))
        rows.append(row | _speedup(requests, case) | settings.factors)
    frame = pd.DataFrame(rows)
    tested = frame["case"] != BASELINE
    frame.loc[tested, "speedup_p"] = holm(frame.loc[tested, "speedup_p"].to_list())
    return frame


def _speedup(requests: pd.DataFrame, case: str) -> dict[str, float]:
    """Return the speed-up of a case over the baseline, by time and by work."""
    if case == BASELINE:
        ones = dict.fromkeys(("speedup", "speedup_low", "speedup_high", "work_speedup"), 1.0)
        return ones | {"speedup_p": np.nan, "speedup_effect": np.nan}
    found = comparison(paired_ratios(requests, case, BASELINE, "throughput"))
    return {
        "speedup": found.ratio,
        "speedup_low": found.low,
        "speedup_high": found.high,
        "speedup_p": found.p,
        "speedup_effect": found.effect,
        "work_speedup": comparison(paired_ratios(requests, case, BASELINE, "work_throughput")).ratio,
    }


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


def _with_bounds(name: str, values: pd.Series, statistic: Statistic = np.mean) -> dict[str, float]:
    if values.empty:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    found = estimate(values, statistic)
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def run_facts(measurements: list[Measurement]) -> dict:
    """Return the facts that the paper states about a run: machine, models, texts and times."""
    last = max((measurement.latest for measurement in measurements), key=lambda session: session["started"])
    times = [record.time for measurement in measurements for record in measurement.records]
    found = [quality(measurement) for measurement in measurements]
    return {
        "environment": last["environment"],
        "models": last["models"],
        "code": last["code"],
        "datasets": {measurement.job.dataset: measurement.latest["dataset"] for measurement in measurements},
        "requests": len(times),
        "hours": sum(record.seconds["total"] for measurement in measurements for record in measurement.records) / 3600,
        "claims_sha256": sorted({s["claims_sha256"] for m in measurements for s in m.sessions.values()}),
        "disturbed": sum(one["disturbed"] for one in found),
        "disturbed_kept": sum(one["kept"] for one in found),
        "quality": found,
        "started": min(times),
        "finished": max(times),
    }


def quality(measurement: Measurement) -> dict:
    """Return the counts of disturbed requests of a job, and the time of its A/A pair: ratio, bounds and spread.

    The spread is the larger distance of the bounds from one, as a ratio; without bounds that of the ratio itself.
    """
    job = measurement.job
    requests = per_request("job", measurement)
    found = comparison(paired_ratios(requests, AGAIN, BASELINE, "throughput"))
    return {
        "experiment": job.experiment,
        "dataset": job.dataset,
        "dtype": job.dtype,
        "requests": len(measurement.records),
        "disturbed": len(measurement.disturbed),
        "kept": sum(one["kept"] for one in measurement.disturbed),
        "again": found.ratio,
        "again_low": found.low,
        "again_high": found.high,
        "pairs": found.n,
    }
