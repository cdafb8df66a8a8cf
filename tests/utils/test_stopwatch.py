"""The stopwatch against a clock that the test sets."""

import itertools

from dynatree.utils.stopwatch import Stopwatch


def test_the_blocks_since_the_last_call_are_summed():
    ticks = itertools.count(0, 2)
    stopwatch = Stopwatch(lambda: next(ticks))
    for _ in range(3):
        with stopwatch:
            pass
    stopwatch.add(1.5)
    assert stopwatch.pop_elapsed() == 7.5
    assert stopwatch.pop_elapsed() == 0.0
