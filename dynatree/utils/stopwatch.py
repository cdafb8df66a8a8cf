"""A stopwatch for code that runs in many short pieces."""

from collections.abc import Callable


class Stopwatch:
    """The sum of the seconds spent inside its ``with`` blocks, which must not be nested.

    Args:
        clock: returns the current time in seconds.
    """

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._started = 0.0
        self._elapsed = 0.0

    def __enter__(self) -> None:
        self._started = self._clock()

    def __exit__(self, *_: object) -> None:
        self._elapsed += self._clock() - self._started

    def add(self, seconds: float) -> None:
        """Add ``seconds`` that were measured elsewhere."""
        self._elapsed += seconds

    def pop_elapsed(self) -> float:
        """Return the seconds since the last call and start again at zero."""
        seconds, self._elapsed = self._elapsed, 0.0
        return seconds
