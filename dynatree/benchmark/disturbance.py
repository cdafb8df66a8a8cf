"""Detection of requests that other work on the machine has slowed down."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from dynatree.benchmark.records import Record
from dynatree.config.jobs import DisturbanceRule

POLISHES = 10  # iterations of the median polish


@dataclass(frozen=True)
class Disturbance:
    """How much slower than expected a request ran.

    Attributes:
        per_pass: seconds per forward pass over those of the two-way fit.
        ttft: time to the first token over that of the two-way fit.
        cpu_share: CPU time per second and thread over the median of the case; NaN if unknown.
    """

    per_pass: float
    ttft: float
    cpu_share: float

    def breaks(self, rule: DisturbanceRule) -> bool:
        """Return True if a rule flags the request."""
        slow = self.per_pass > rule.pass_ratio or self.ttft > rule.ttft_ratio
        return slow or self.cpu_share < rule.cpu_share


def disturbances(records: list[Record], device: str) -> list[Disturbance]:
    """Return the disturbance of each record, from two-way fits within its group.

    Args:
        records: records of one job; a request may occur several times.
        device: device of the job. The CPU time counts only on a CPU.
    """
    per_pass = _ratios(records, seconds_per_pass)
    ttft = _ratios(records, lambda record: record.seconds["ttft"])
    shares = _shares(records) if device == "cpu" else [float("nan")] * len(records)
    return [Disturbance(*values) for values in zip(per_pass, ttft, shares, strict=True)]


def seconds_per_pass(record: Record) -> float:
    """Return the seconds per round after the first token; NaN without a round."""
    rounds = record.rounds
    return (record.seconds["total"] - record.seconds["ttft"]) / rounds if rounds else float("nan")


def _ratios(records: list[Record], quantity: Callable[[Record], float]) -> list[float]:
    """Return a quantity over the product of the effects of case and prompt, fitted by median polish on logarithms."""
    cells: dict[tuple, list[float]] = {}
    for record in records:
        if (value := quantity(record)) > 0:  # False for NaN
            cells.setdefault(_cell(record), []).append(float(np.log(value)))
    medians = {cell: float(np.median(values)) for cell, values in cells.items()}
    fitted = {}
    for group in {cell[0] for cell in medians}:
        fitted |= _fit({cell: value for cell, value in medians.items() if cell[0] == group})
    values = (quantity(record) for record in records)
    return [
        value / float(np.exp(fitted[_cell(record)])) if value > 0 else 1.0
        for record, value in zip(records, values, strict=True)
    ]


def _cell(record: Record) -> tuple:
    """Return what attempts at one request share: group, case, and prompt with repetition."""
    return record.group, record.case, (record.prompt, record.repetition)


def _fit(cells: dict[tuple, float]) -> dict[tuple, float]:
    """Return the sum of the effects of case and prompt for each cell of one group."""
    values = np.array(list(cells.values()))
    rest = values.copy()
    masks = [
        np.array([cell[place] == level for cell in cells])
        for place in (1, 2)
        for level in dict.fromkeys(cell[place] for cell in cells)
    ]
    for _ in range(POLISHES):
        for mask in masks:
            rest[mask] -= np.median(rest[mask])
    return dict(zip(cells, (values - rest).tolist(), strict=True))


def _shares(records: list[Record]) -> list[float]:
    shares = np.array([cast(float, record.host["cpu"]) / record.seconds["total"] for record in records])
    kinds = [(record.group, record.case) for record in records]
    medians = {kind: np.median(shares[[one == kind for one in kinds]]) for kind in set(kinds)}
    with np.errstate(divide="ignore", invalid="ignore"):
        return (shares / np.array([medians[kind] for kind in kinds])).tolist()
