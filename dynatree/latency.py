"""How long a forward pass over n new tokens takes on this machine: measured once, kept on disk, refreshed in use."""

import hashlib
import json
import os
import platform
import time
from bisect import bisect_right
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from transformers import PreTrainedModel

from dynatree.files import write_json
from dynatree.machine import machine
from dynatree.models import CachedModel, head_rows

WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
CONTEXTS = (64, 256, 1024)
REPETITIONS = 5
MEMORY = 0.9  # weight of what was known of the machine's speed when a pass is observed
WIDTH_MEMORY = 0.98  # and of what was known of passes of this width


@dataclass
class Latency:
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


def latency_of(model: PreTrainedModel) -> Latency:
    """The latency of a model on this machine, from the disk if it was measured before.

    It lies in ``$DYNATREE_CACHE``, else ``$XDG_CACHE_HOME/dynatree`` or ``~/.cache/dynatree``, under a name that
    stands for the architecture, the number format, the device, the threads and the version of torch.
    """
    path = cache_folder() / "latency" / f"{_key(model)}.json"
    try:
        known = json.loads(path.read_text())
        return Latency(tuple(known["widths"]), tuple(known["contexts"]), known["seconds"])
    except (OSError, ValueError, KeyError):
        latency = measure_latency(model)
    with suppress(OSError):  # a cache that cannot be written costs a measurement in each process, nothing else
        write_json(path, asdict(latency) | {"conditions": conditions(model)})
    return latency


def cache_folder() -> Path:
    """Where measurements of this machine are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("DYNATREE_CACHE") or Path(base) / "dynatree")


@torch.inference_mode()
def measure_latency(model: PreTrainedModel, repetitions: int = REPETITIONS) -> Latency:
    """Time passes of all widths in turn, ``repetitions`` times, and take the shortest.

    Other work only ever makes a pass longer. A draft that a disturbed measurement calls slow is hardly run, so nothing
    would correct it, while a time that is too short is corrected in use.
    """
    positions = model.config.max_position_embeddings
    contexts = tuple(c for c in CONTEXTS if c + WIDTHS[-1] <= positions) or (1,)
    widths = tuple(w for w in WIDTHS if contexts[0] + w <= positions)
    cached = CachedModel(model, "target", contexts[-1] + widths[-1])
    rows = []
    for context in contexts:
        cached.forward([0] * (context - cached.length), range(cached.length, context), last_only=True)
        times: dict[int, list[float]] = {width: [] for width in widths}
        for _ in range(repetitions + 1):
            for width in widths:
                times[width].append(_time(cached, width, context))
        shortest = [min(times[width][1:]) for width in widths]  # the first one warms up
        rows.append([min(shortest[index:]) for index in range(len(shortest))])
    return Latency(widths, contexts, rows)


def _time(cached: CachedModel, width: int, context: int) -> float:
    visible = torch.ones(width, width, dtype=torch.bool).tril() if width > 1 else None
    start = time.perf_counter()
    cached.predict(cached.forward([0] * width, range(context, context + width), visible))
    seconds = time.perf_counter() - start
    cached.cache.rewind(context)
    return seconds


def conditions(model: PreTrainedModel) -> dict:
    """What a latency depends on."""
    config = {name: value for name, value in model.config.to_dict().items() if not name.startswith("_")}
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else machine()["processor"]
    return {
        "architecture": hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:16],
        "layers": sorted({type(module).__name__ for module in model.modules()}),
        "head_rows": head_rows(model),
        "dtype": str(model.dtype),
        "device": device,
        "threads": torch.get_num_threads() if model.device.type == "cpu" else None,
        "torch": torch.__version__,
        "host": platform.node(),
    }


def _key(model: PreTrainedModel) -> str:
    return hashlib.sha256(json.dumps(conditions(model), sort_keys=True).encode()).hexdigest()[:16]
