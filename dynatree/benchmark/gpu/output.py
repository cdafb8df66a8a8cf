"""The files of the proof: rows of one section each, appended as they are measured."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from dynatree.models.transfer import finish

Item = TypeVar("Item")
Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """Conditions of a proof.

    Attributes:
        device: device of all models.
        tiny: True for models and counts that end in seconds.
        output: flat folder of the files.
        target, draft: folders of the embedded pair.
        pack: folder of what a machine without a network needs, see :mod:`dynatree.benchmark.gpu.pack`.
    """

    device: torch.device
    tiny: bool
    output: Path
    target: Path
    draft: Path
    pack: Path


class Section:
    """The rows and the time limit of one section.

    Args:
        path: JSON lines, replaced.
        seconds: time after which no further measurement begins.
        clock: returns the current time in seconds.
    """

    def __init__(self, path: Path, seconds: float, clock: Callable[[], float] = time.perf_counter):
        self.path = path
        self._clock = clock
        self._end = clock() + seconds
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")

    def add(self, **row: Any) -> None:
        """Append a row, at once, so that an interrupted proof keeps it."""
        with self.path.open("a") as file:
            file.write(json.dumps(row, default=str) + "\n")

    def until_late(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items while time is left; note in a row how many were left out."""
        planned = list(items)
        for done, item in enumerate(planned):
            if self._clock() >= self._end:
                self.add(kind="limit", left_out=len(planned) - done)
                return
            yield item


def rows(path: Path) -> list[Row]:
    """Return the rows of a section; none if it has not run."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def seconds_of(work: Callable[[], object], device: torch.device, repetitions: int = 5) -> float:
    """Return the smallest seconds of some repetitions, up to the end of the device's work."""
    best = float("inf")
    for _ in range(repetitions):
        finish(device)
        start = time.perf_counter()
        work()
        finish(device)
        best = min(best, time.perf_counter() - start)
    return best
