"""The work of a request: the seconds that the measured latencies predict for its forward passes.

Work does not depend on what else the machine did during a request, so it tells a real difference from noise.
"""

import math

import pandas as pd

from dynatree.benchmark.records import Record
from dynatree.latency.cost_model import CostModel, predict

Latencies = dict[str, CostModel]  # of "target" and "draft"


def latencies(frame: pd.DataFrame, backend: str | None = None) -> Latencies:
    """Return the cost models of target and draft.

    Args:
        frame: output of ``scripts/measure_latency.py``.
        backend: layers to take; None for those of the run, which come last.
    """
    used = frame[frame["backend"] == (backend or frame["backend"].iloc[-1])]
    found = {}
    for role, rows in used.groupby("model"):
        seconds = rows.pivot(index="context", columns="new", values="ms") / 1e3
        found[str(role)] = CostModel(tuple(seconds.columns), tuple(seconds.index), seconds.to_numpy().tolist())
    return found


def work_of(record: Record, times: Latencies | None) -> dict[str, float]:
    """Return the work of a request: "total" seconds, and "ttft" seconds, those of the forward passes over the prompt.

    Args:
        record: the request.
        times: cost models of the machine that measured; None gives NaN.
    """
    if times is None or not record.passes["target"]:
        return {"total": math.nan, "ttft": math.nan}
    passes = {role: [(new, cached) for new, cached in found] for role, found in record.passes.items()}
    prefills = {role: [one for one in found if one[1] == 0] for role, found in passes.items()}
    return {
        name: sum(predict(found, times[role]) for role, found in chosen.items() if found)
        for name, chosen in (("total", passes), ("ttft", prefills))
    }
