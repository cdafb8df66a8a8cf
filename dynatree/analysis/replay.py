"""Recorded requests under other times of passes.

A trace says which passes a request made. With the time of each pass on a machine it gives the time of the request
there. Times are those after prefill. What a request spends outside the models is taken from its record, on every
machine.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from dynatree.analysis.replay_metrics import BASELINE, HERE
from dynatree.benchmark.records import Measurement, Record
from dynatree.latency.cost_model import CostModel, predict

Latencies = dict[str, CostModel]


def latencies(frame: pd.DataFrame) -> Latencies:
    """Target's and draft's times of passes.

    Args:
        frame: what ``scripts/measure_latency.py`` writes; of several kinds of layers those that a run uses come last.
    """
    used = frame[frame["backend"] == frame["backend"].iloc[-1]]
    found = {}
    for role, rows in used.groupby("model"):
        seconds = rows.pivot(index="context", columns="new", values="ms") / 1e3
        found[role] = CostModel(tuple(seconds.columns), tuple(seconds.index), seconds.to_numpy().tolist())
    return found


def described(machine: dict) -> Latencies:
    """The times of passes of a machine of a projection, see :func:`dynatree.benchmark.simulation.project`."""
    return {
        role: CostModel(tuple(one["widths"]), tuple(one["contexts"]), one["seconds"])
        for role, one in machine["latencies"].items()
    }


def passes_after_prefill(trace: dict) -> dict[str, list[list[int]]]:
    """The passes of a trace in its rounds: those of the target, and those of the draft."""
    rounds = trace["rounds"]
    drafted = sum(draft_passes for *_, draft_passes in rounds)
    passes = trace["passes"]
    return {
        "target": passes["target"][len(passes["target"]) - len(rounds) :],
        "draft": passes["draft"][len(passes["draft"]) - drafted :],
    }


def replays(measurements: list[Measurement], here: Latencies, projection: dict) -> pd.DataFrame:
    """One row for each traced request and machine.

    "models_s" is the predicted time of the passes after prefill and "other_s" that outside the models;
    "baseline_models_s" is the former of the baseline on the same prompt, "baseline_s" both together. On the machine
    that measured, "measured_s" and "measured_baseline_s" are what was measured. Where the policy decided by times of
    the machine, "decided" is "there", else "here".

    Args:
        measurements: of jobs with traces.
        here: times of passes on the machine that measured.
        projection: see :func:`dynatree.benchmark.simulation.project`.
    """
    rows: list[dict] = []
    for measurement in measurements:
        rows += _replayed(measurement, HERE, here)
        for name, machine in projection["machines"].items():
            replayed = list(_replayed(measurement, name, described(machine)))
            rows += replayed
            rows += _decided_there(replayed, measurement.job["dataset"], projection)
    return pd.DataFrame(rows)


def _replayed(measurement: Measurement, machine: str, times: Latencies) -> Iterator[dict]:
    predicted = {(one.key, one.session): _predict(one, times) for one in measurement.records if one.trace}
    measured = {(one.key, one.session): _after_prefill(one) for one in measurement.records if one.trace}
    for record in measurement.records:
        if record.trace:
            own, baseline = (record.key, record.session), ((*record.key[:3], BASELINE), record.baseline)
            models, other = predicted[own]
            yield _names(record, measurement) | {
                "machine": machine,
                "decided": HERE,
                "rounds": record.rounds,
                "models_s": models,
                "other_s": other,
                "baseline_models_s": predicted[baseline][0],
                "baseline_s": sum(predicted[baseline]),
                "measured_s": measured[own] if machine == HERE else np.nan,
                "measured_baseline_s": measured[baseline] if machine == HERE else np.nan,
            }


def _decided_there(replayed: list[dict], dataset: str, projection: dict) -> Iterator[dict]:
    """Requests decoded by a machine's clock; outside the models their rounds spend as long as the recorded ones."""
    kept = {(row["case"], row["group"], row["prompt"]): row for row in replayed}
    for request in projection["requests"]:
        if request["dataset"] == dataset and request["machine"] == replayed[0]["machine"]:
            row = kept[request["case"], request["group"], request["prompt"]]
            yield row | {
                "decided": "there",
                "rounds": request["rounds"],
                "models_s": request["seconds"],
                "other_s": row["other_s"] * request["rounds"] / max(row["rounds"], 1),
            }


def _names(record: Record, measurement: Measurement) -> dict:
    return {
        "dataset": measurement.job["dataset"],
        "group": record.group,
        "case": record.case,
        "prompt": record.prompt,
        "repetition": record.repetition,
    }


def _predict(record: Record, times: Latencies) -> tuple[float, float]:
    """Seconds in the models after prefill, and outside of them."""
    models = sum(predict(passes, times[role]) for role, passes in passes_after_prefill(record.trace).items())
    return models, record.seconds["other"]


def _after_prefill(record: Record) -> float:
    return record.seconds["total"] - record.seconds["prefill"]
