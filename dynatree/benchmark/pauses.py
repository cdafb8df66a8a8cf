"""Pauses of this process or this machine during a timing."""

import signal
import sys
import time
from collections.abc import Callable
from typing import TypeVar

SUSPENDED = 0.1  # seconds; shorter differences come from reading two clocks one after the other

Result = TypeVar("Result")


def without_pause(work: Callable[[], Result]) -> Result:
    """Call ``work`` until no pause falls into the call, and return the last result.

    A pause is a suspension of the machine, or a stop of the process by Ctrl-Z or SIGSTOP. The clock of the timings
    runs on while a process is stopped. It stands still while the machine is suspended, but the caches are cold then.
    """
    stops: list[int] = []
    before = signal.signal(signal.SIGCONT, lambda number, _: stops.append(number))
    try:
        while True:
            state = len(stops), suspended()
            result = work()
            if len(stops) == state[0] and suspended() - state[1] < SUSPENDED:
                return result
            print("a pause fell into a request, which is measured again", file=sys.stderr)
    finally:
        signal.signal(signal.SIGCONT, before)


def suspended() -> float:
    """Return the seconds for which this machine was suspended since it started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
