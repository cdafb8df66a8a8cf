"""Summarise raw records: one row for each data set and method."""

from pathlib import Path

import numpy as np
import pandas as pd

from dynatree.analysis.statistics import (
    distinct_ngrams,
    geometric_mean,
    interval,
    looping_share,
    published_acceptance,
    time_per_token,
)
from dynatree.benchmark.records import Record, read_records
from dynatree.errors import DynatreeError

BASELINE = "autoregressive"
REMEDY = "delete the older files and run the pipeline again"


def read_all(paths: list[Path]) -> list[tuple[dict, pd.DataFrame]]:
    """Read measurements that belong together: (meta, one row per record) of each data set.

    Raises:
        DynatreeError: a file is damaged, or the files come from different code, machines, models or formats, or a
            method's tokens differ from the baseline's in float32.
    """
    files = [(path, *read_records(path)) for path in paths]
    for name, read in SAME.items():
        values = {str(read(meta)): path for path, meta, _ in files}
        if len(values) > 1:
            raise DynatreeError(f"{' and '.join(map(str, values.values()))} come from different {name}; {REMEDY}")
    for path, meta, records in files:
        wrong = next((r for r in records if r.divergence is not None), None)
        if wrong and meta["config"]["dtype"] == "float32":
            raise DynatreeError(
                f"{path}: {wrong.method} differs from the baseline on prompt {wrong.prompt!r}; it is not lossless"
            )
    return [(meta, frame(meta, records)) for _, meta, records in files]


SAME = {
    "code": lambda meta: meta["code"],
    "machines": lambda meta: [meta["environment"][key] for key in ("machine", "device", "threads", "versions")],
    "models": lambda meta: [meta["models"][role]["sha256"] for role in ("target", "draft")],
    "number formats": lambda meta: meta["config"]["dtype"],
}


def frame(meta: dict, records: list[Record]) -> pd.DataFrame:
    """One row per record with the derived quantities of a single request."""
    methods = meta["config"]["methods"]
    rows = []
    for record in records:
        new, seconds = len(record.tokens), record.seconds
        rows.append(
            {
                "prompt": record.prompt,
                "method": record.method,
                "new_tokens": new,
                "throughput": new / seconds["total"],
                "ttft_ms": 1e3 * seconds["ttft"],
                "tpot_ms": 1e3 * time_per_token(seconds["total"], seconds["ttft"], new),
                "tokens_per_round": (new - 1) / record.rounds if record.rounds else np.nan,
                "acceptance_rate": _ratio(record.accepted, record.drafted_depth),
                "draft_precision": _ratio(record.accepted, record.verified),
                "published_acceptance": published_acceptance(methods[record.method], new, record.rounds),
                "rounds": record.rounds,
                "draft_forwards_per_token": _ratio(record.draft_forwards, new),
                "verified_per_token": _ratio(record.verified, new),
                "overhead_share": _ratio(seconds.get("other"), seconds["total"] - seconds.get("prefill", 0)),
                "looping_share": looping_share(record.tokens),
                "distinct_4grams": distinct_ngrams(record.tokens),
                "identical": record.divergence is None,
            }
        )
    return pd.DataFrame(rows)


AVERAGED = (
    "ttft_ms",
    "tpot_ms",
    "tokens_per_round",
    "acceptance_rate",
    "draft_precision",
    "published_acceptance",
    "rounds",
    "draft_forwards_per_token",
    "verified_per_token",
    "overhead_share",
    "looping_share",
    "distinct_4grams",
)
WITH_INTERVAL = ("throughput", "ttft_ms", "tpot_ms", "tokens_per_round", "acceptance_rate")


def summarise(meta: dict, requests: pd.DataFrame) -> pd.DataFrame:
    """One row per method: means over prompts, the paired speed-up, and 95 % intervals over prompts.

    Repetitions of a prompt count once, by their median. The speed-up is the geometric mean over prompts of the
    throughput divided by the baseline's on the same prompt.
    """
    per_prompt = requests.groupby(["method", "prompt"], sort=False).median(numeric_only=True)
    identical = requests.groupby(["method", "prompt"], sort=False)["identical"].all()
    baseline = per_prompt.loc[BASELINE, "throughput"]
    rows = []
    for method, settings in meta["config"]["methods"].items():
        values = per_prompt.loc[method]
        row = {
            "dataset": meta["config"]["dataset"],
            "dataset_label": meta["dataset_label"],
            "method": method,
            "label": settings["label"],
            "prompts": len(values),
            "repetitions": meta["config"]["repetitions"],
            "new_tokens": int(values["new_tokens"].max()),
            "identical": int(identical.loc[method].sum()),
        }
        row |= {name: values[name].mean() for name in AVERAGED}
        for name in WITH_INTERVAL:
            row |= _with_bounds(name, values[name].dropna())
        row |= _with_bounds("speedup", values["throughput"] / baseline, geometric_mean)
        rows.append(row)
    return pd.DataFrame(rows)


def _with_bounds(name: str, values: pd.Series, statistic=np.mean) -> dict[str, float]:
    if values.empty:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    centre, low, high = interval(values.to_numpy(), statistic)
    return {name: centre, f"{name}_low": low, f"{name}_high": high}


def _ratio(part: float | None, whole: float | None) -> float:
    return part / whole if part is not None and whole else np.nan


def run_facts(metas: list[dict]) -> dict:
    """What the paper says about a run: its machine, models and times."""
    first = metas[0]
    return {
        "environment": first["environment"],
        "models": first["models"],
        "code": first["code"],
        "started": min(meta["started"] for meta in metas),
        "finished": max(meta["finished"] for meta in metas),
    }
