"""Seconds of a forward pass by its new tokens and the cache entries before it. Does not import torch."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

DRIFT_DECAY = 0.9  # weight of the earlier estimate of the machine's speed when a forward pass is observed
CORRECTION_DECAY = 0.98  # the same for the correction of one width


@dataclass
class CostModel:
    """Seconds of a forward pass, up to the token ids on the host, by new tokens and cache entries.

    Attributes:
        widths: measured numbers of new tokens.
        contexts: measured numbers of cache entries.
        seconds: one row for each context, one value for each width; non-decreasing with the width.
        correction: for each width, the ratio of observed to measured seconds beyond ``drift``.
        drift: the same ratio for all widths. Other work on the machine or a lower clock slows all forward passes alike.
    """

    widths: tuple[int, ...]
    contexts: tuple[int, ...]
    seconds: list[list[float]]
    correction: list[float] = field(default_factory=list)
    drift: float = 1.0

    def __post_init__(self) -> None:
        self.correction = self.correction or [1.0] * len(self.widths)

    def __call__(self, new: int, context: int) -> float:
        """Return the seconds of a forward pass, interpolated linearly between the measured points.

        Beyond the largest width, the latency continues with the slope of the last two points.

        Args:
            new: number of new tokens.
            context: number of cache entries before it.
        """
        row = self._row(context)
        ((low, high, left, right),) = _weights(self.widths, (new,))
        return _weighted(row, low, high, left, right)

    def of(self, widths: Sequence[int], context: int) -> list[float]:
        """Return the seconds of forward passes over each number of new tokens, see :meth:`__call__`.

        Args:
            widths: numbers of new tokens, a range or a tuple.
            context: number of cache entries before each forward pass.
        """
        row = self._row(context)
        return [_weighted(row, *weights) for weights in _weights(self.widths, widths)]

    def observe(self, new: int, context: int, seconds: float) -> None:
        """Correct the model by a forward pass that took ``seconds``.

        Ratios above 2 count as 2, because a much longer forward pass is a disturbance.

        Args:
            new: number of new tokens.
            context: number of cache entries before it.
            seconds: its duration.
        """
        low, high, share = _between(self.widths, new)
        expected = self(new, context)
        ratio = min(seconds / expected, 2.0)
        for index, weight in ((low, 1 - share), (high, share)):
            self.correction[index] *= 1 + (1 - CORRECTION_DECAY) * weight * (ratio - 1)
        self.drift *= 1 + (1 - DRIFT_DECAY) * (ratio - 1)

    def _row(self, context: int) -> list[float]:
        """Seconds of a forward pass over each measured width."""
        low, high, share = _between(self.contexts, context)
        measured = zip(self.seconds[low], self.seconds[high], self.correction, strict=True)
        left, right = self.drift * (1 - share), self.drift * share
        return [factor * (left * one + right * other) for one, other, factor in measured]


def _weighted(row: list[float], low: int, high: int, left: float, right: float) -> float:
    """Return a weighted sum of two entries; with a negative weight, beyond the last point, it is at least the last."""
    value = left * row[low] + right * row[high]
    return value if left >= 0 else max(value, row[high])


@lru_cache(maxsize=64)
def _weights(points: tuple[int, ...], widths: Sequence[int]) -> list[tuple[int, int, float, float]]:
    """Return for each width two indices into ``points`` and their weights; beyond the last point the slope goes on."""
    last, found = len(points) - 1, list[tuple[int, int, float, float]]()
    for width in widths:
        low, high, share = _between(points, width)
        if width > points[last] and last:
            low, high = last - 1, last
            share = (width - points[low]) / (points[high] - points[low])
        found.append((low, high, 1 - share, share))
    return found


def _between(points: tuple[int, ...], value: float) -> tuple[int, int, float]:
    """Return the indices of the neighbors of ``value`` and its share of the distance between them, 0 to 1."""
    low = max(bisect_right(points, value) - 1, 0)
    high = min(low + 1, len(points) - 1)
    if high == low or value <= points[low]:
        return low, low, 0.0
    return low, high, (value - points[low]) / (points[high] - points[low])


def predict(passes: Iterable[tuple[int, int]], cost_model: CostModel) -> float:
    """Return the total seconds of forward passes.

    Args:
        passes: new tokens and cache entries of each forward pass.
        cost_model: of the model that runs them.
    """
    return sum(cost_model(new, context) for new, context in passes)
