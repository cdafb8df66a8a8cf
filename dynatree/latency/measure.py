"""How long a forward pass over n new tokens takes on this machine: measured once, kept on disk, refreshed in use."""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedModel

from dynatree.latency.cost_model import CostModel
from dynatree.models.forward import head_rows
from dynatree.models.runner import ModelRunner
from dynatree.utils.files import write_json
from dynatree.utils.host import describe_host

if TYPE_CHECKING:
    from dynatree.models.compiled import StaticModel

WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
CONTEXTS = (64, 256, 1024)
REPETITIONS = 5


def latency_of(model: PreTrainedModel, static: "StaticModel | None" = None) -> CostModel:
    """The latency of a model, or of its static passes, on this machine, from the disk if it was measured before.

    It lies in ``$DYNATREE_CACHE``, else ``$XDG_CACHE_HOME/dynatree`` or ``~/.cache/dynatree``, under a name that
    stands for the architecture, the number format, the device, the threads and the version of torch.
    """
    path = cache_folder() / "latency" / f"{_key(conditions(model, static))}.json"
    try:
        known = json.loads(path.read_text())
        return CostModel(tuple(known["widths"]), tuple(known["contexts"]), known["seconds"])
    except (OSError, ValueError, KeyError):
        latency = measure_latency(model, static=static)
    with suppress(OSError):  # a cache that cannot be written costs a measurement in each process, nothing else
        write_json(path, asdict(latency) | {"conditions": conditions(model, static)})
    return latency


def cache_folder() -> Path:
    """Where measurements of this machine are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("DYNATREE_CACHE") or Path(base) / "dynatree")


@torch.inference_mode()
def measure_latency(
    model: PreTrainedModel,
    repetitions: int = REPETITIONS,
    static: "StaticModel | None" = None,
    typical: Callable[[list[float]], float] = min,
) -> CostModel:
    """Time passes of all widths in turn, ``repetitions`` times.

    Args:
        model: target or draft.
        repetitions: of each width, after one that warms up.
        static: makes the passes, see :func:`dynatree.compile_pair`; None for ordinary ones.
        typical: what the repetitions come to. For a policy the shortest: other work only ever makes a pass longer, a
            draft that a disturbed measurement calls slow is hardly run, so nothing would correct it, while a time
            that is too short is corrected in use.
    """
    positions = model.config.max_position_embeddings
    contexts = tuple(c for c in CONTEXTS if c + WIDTHS[-1] <= positions) or (1,)
    widths = tuple(w for w in WIDTHS if contexts[0] + w <= positions)
    cached = ModelRunner(model, "target", contexts[-1] + widths[-1], static=static)
    rows = []
    for context in contexts:
        cached.forward([0] * (context - cached.length), range(cached.length, context), last_only=True)
        times: dict[int, list[float]] = {width: [] for width in widths}
        for _ in range(repetitions + 1):
            for width in widths:
                times[width].append(_time(cached, width, context))
        found = [typical(times[width][1:]) for width in widths]  # the first one warms up
        rows.append([min(found[index:]) for index in range(len(found))])
    return CostModel(widths, contexts, rows)


def _time(cached: ModelRunner, width: int, context: int) -> float:
    visible = torch.ones(width, width, dtype=torch.bool).tril() if width > 1 else None
    start = time.perf_counter()
    cached.predict(cached.forward([0] * width, range(context, context + width), visible))
    seconds = time.perf_counter() - start
    cached.cache.rewind(context)
    return seconds


def conditions(model: PreTrainedModel, static: "StaticModel | None" = None) -> dict:
    """What a latency depends on."""
    config = {name: value for name, value in model.config.to_dict().items() if not name.startswith("_")}
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else describe_host()["processor"]
    return {
        "architecture": hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:16],
        "layers": sorted({type(module).__name__ for module in model.modules()}),
        "head_rows": head_rows(model),
        "dtype": str(model.dtype),
        "device": device,
        "threads": torch.get_num_threads() if model.device.type == "cpu" else None,
        "torch": torch.__version__,
        "host": platform.node(),
        "passes": static.name if static else "ordinary",
    }


def _key(conditions: dict) -> str:
    return hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:16]
