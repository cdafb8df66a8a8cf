"""What forward passes take, by their new tokens and by the rows already in the cache. Without torch."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

MEMORY = 0.9  # weight of what was known of the machine's speed when a pass is observed
WIDTH_MEMORY = 0.98  # and of what was known of passes of this width


@dataclass
class CostModel:
    """Seconds of a forward pass, up to the ids on the host, by new tokens and by rows already in the cache.

    Attributes:
        widths: numbers of new tokens measured.
        contexts: numbers of cached rows measured.
        seconds: one row for each context, one entry for each width; never falling with the width.
        correction: for each width, the ratio of what was observed in use to what was measured, beyond ``drift``.
        drift: the same ratio for all widths: other work on the machine, or its clock, slows all passes alike.
    """

    widths: tuple[int, ...]
    contexts: tuple[int, ...]
    seconds: list[list[float]]
    correction: list[float] = field(default_factory=list)
    drift: float = 1.0

    def __post_init__(self):
        self.correction = self.correction or [1.0] * len(self.widths)

    def __call__(self, new: int, context: int) -> float:
        """Seconds of a pass over ``new`` tokens after ``context`` cached ones; linear between what was measured."""
        return self.of((new,), context)[0]

    def of(self, widths: Iterable[int], context: int) -> list[float]:
        """Seconds of passes over so many new tokens each, see :meth:`__call__`."""
        low, high, share = _between(self.contexts, context)
        measured = zip(self.seconds[low], self.seconds[high], self.correction, strict=True)
        row = [self.drift * factor * ((1 - share) * left + share * right) for left, right, factor in measured]
        return [self._at(row, new) for new in widths]

    def observe(self, new: int, context: int, seconds: float) -> None:
        """Take in a pass that took ``seconds``. A pass several times as long as expected is a disturbance."""
        low, high, share = _between(self.widths, new)
        expected = self(new, context)
        ratio = min(seconds / expected, 2.0)
        for index, weight in ((low, 1 - share), (high, share)):
            self.correction[index] *= 1 + (1 - WIDTH_MEMORY) * weight * (ratio - 1)
        self.drift *= 1 + (1 - MEMORY) * (ratio - 1)

    def _at(self, seconds: list[float], new: int) -> float:
        last = len(self.widths) - 1
        if new > self.widths[last] > 1:
            return seconds[last] * new / self.widths[last]
        low, high, share = _between(self.widths, new)
        return (1 - share) * seconds[low] + share * seconds[high]


def _between(points: tuple[int, ...], value: float) -> tuple[int, int, float]:
    """Indices of the neighbours of ``value`` and its share of the way between them, 0 to 1."""
    low = max(bisect_right(points, value) - 1, 0)
    high = min(low + 1, len(points) - 1)
    if high == low or value <= points[low]:
        return low, low, 0.0
    return low, high, (value - points[low]) / (points[high] - points[low])


def predict(passes: Iterable[tuple[int, int]], latency: CostModel) -> float:
    """Seconds that forward passes take.

    Args:
        passes: new tokens and cached rows of each.
        latency: of the model that makes them.
    """
    return sum(latency(new, context) for new, context in passes)
