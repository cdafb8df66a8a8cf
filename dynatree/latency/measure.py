"""Latency of a forward pass by its width: measured once on each machine, kept on disk, corrected in use."""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
import transformers
from tqdm import tqdm
from transformers import PreTrainedModel

from dynatree.latency.cost_model import CostModel
from dynatree.latency.sample_text import SampleText, sample_text
from dynatree.models.cuda_settings import driver_version, settings
from dynatree.models.forward import head_rows
from dynatree.models.positions import served_positions, unscaled_frequencies
from dynatree.models.runner import ModelRunner
from dynatree.models.supported import vocabulary_size
from dynatree.utils.files import write_json
from dynatree.utils.host import describe_host
from dynatree.utils.paths import cache_folder
from dynatree.version import __version__

if TYPE_CHECKING:
    from dynatree.models.graphs import GraphedModel

WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
CONTEXTS = (64, 256, 1024)
REPETITIONS = 5
CUDA_WIDTHS = (*WIDTHS, 96, 128, 192, 256, 384, 512)  # a GPU verifies more tokens at nearly the same cost
FIRST_USE_WIDTHS = (1, 64, 8, 2, 16, 4, 32)  # in the order of measurement
FIRST_USE_CUDA_WIDTHS = (1, 256, *FIRST_USE_WIDTHS[1:], 128, 512)
FIRST_USE_CONTEXT = 64
FIRST_USE_SECONDS = 1.2  # for each model


def load_cost_model(model: PreTrainedModel, static: "GraphedModel | None" = None, tokenizer: Any = None) -> CostModel:
    """Return the cost model of ``model`` on this machine, from disk if it was measured before.

    The file lies in ``$DYNATREE_CACHE``, else in ``$XDG_CACHE_HOME/dynatree`` or ``~/.cache/dynatree``. Its name
    depends on all of :func:`conditions`. Without any of these folders, each process measures again.

    Args:
        model: target or draft.
        static: repeats recorded forward passes, see :func:`dynatree.use_graphs`; None for ordinary ones.
        tokenizer: of the model; None if it is unknown.
    """
    folder, text = cache_folder(), sample_text(tokenizer, vocabulary_size(model))
    if folder is None:
        return measure_at_first_use(model, static, text)
    known_conditions = conditions(model, static) | {"text": text.digest}
    path = folder / "latency" / f"{_key(known_conditions)}.json"
    try:
        known = json.loads(path.read_text())
        return CostModel(tuple(known["widths"]), tuple(known["contexts"]), known["seconds"])
    except (OSError, ValueError, KeyError):
        cost_model = measure_at_first_use(model, static, text)
    with suppress(OSError):  # without a writable cache, each process measures again
        write_json(path, asdict(cost_model) | {"conditions": known_conditions})
    return cost_model


def measure_at_first_use(
    model: PreTrainedModel,
    static: "GraphedModel | None" = None,
    text: SampleText | None = None,
    seconds: float = FIRST_USE_SECONDS,
) -> CostModel:
    """Time forward passes of a few widths for a short time. Later forward passes correct the cost model in use.

    Two widths are always measured, more and repeatedly while time is left. A progress bar says what takes so long.

    Args:
        model: target or draft.
        static, text: see :func:`measure_latency`.
        seconds: no measurement begins after this time.
    """
    text = text or sample_text(None, vocabulary_size(model))
    with torch.inference_mode(), unscaled_frequencies(model):
        chosen = FIRST_USE_CUDA_WIDTHS if model.device.type == "cuda" else FIRST_USE_WIDTHS
        context = max(1, min(FIRST_USE_CONTEXT, served_positions(model.config) - max(chosen)))
        widths = [width for width in chosen if context + width <= served_positions(model.config)]
        runner = ModelRunner(model, "target", context + max(widths), static=static)
        runner.forward(text.part(0, context), range(context), last_only=True)
        times: dict[int, list[float]] = {}
        end = time.perf_counter() + seconds
        plan = [width for _ in range(REPETITIONS + 1) for width in widths]
        for width in tqdm(plan, desc="measuring forward passes, once on this machine", unit="pass", leave=False):
            if len(times) >= 2 and time.perf_counter() > end:
                break
            times.setdefault(width, []).append(time_forward(runner, text, width, context))
        found = {width: min(times[width][1:] or times[width]) for width in sorted(times)}
    return CostModel(tuple(found), (context,), [_non_decreasing(list(found.values()))])


def measure_latency(
    model: PreTrainedModel,
    repetitions: int = REPETITIONS,
    static: "GraphedModel | None" = None,
    typical: Callable[[list[float]], float] = min,
    contexts: Sequence[int] = CONTEXTS,
    text: SampleText | None = None,
) -> CostModel:
    """Time forward passes of all widths in turn, ``repetitions`` times.

    Args:
        model: target or draft.
        repetitions: timed forward passes of each width, after one that warms up.
        static: repeats recorded forward passes, see :func:`dynatree.use_graphs`; None for ordinary ones.
        typical: reduces the repetitions to one value. The default is the minimum, because other work only prolongs a
            forward pass. A draft that seems slow is rarely run and therefore never corrected; a draft that seems fast
            is corrected in use.
        contexts: numbers of cache entries; those that exceed the model's positions are left out.
        text: the tokens; None for ids spread over the vocabulary.
    """
    text = text or sample_text(None, vocabulary_size(model))
    with torch.inference_mode(), unscaled_frequencies(model):
        positions = served_positions(model.config)
        chosen = CUDA_WIDTHS if model.device.type == "cuda" else WIDTHS
        contexts = tuple(c for c in contexts if c + chosen[-1] <= positions) or (1,)
        widths = tuple(w for w in chosen if contexts[0] + w <= positions)
        runner = ModelRunner(model, "target", contexts[-1] + widths[-1], static=static)
        rows: list[list[float]] = []
        for context in contexts:
            held = runner.length
            runner.forward(text.part(held, context - held), range(held, context), last_only=True)
            times: dict[int, list[float]] = {width: [] for width in widths}
            for _ in range(repetitions + 1):
                for width in widths:
                    times[width].append(time_forward(runner, text, width, context))
            rows.append(_non_decreasing([typical(times[width][1:]) for width in widths]))
    return CostModel(widths, contexts, rows)


def _non_decreasing(seconds: list[float]) -> list[float]:
    """Return the seconds of increasing widths, none above those of a larger width."""
    return [min(seconds[index:]) for index in range(len(seconds))]


def time_forward(runner: ModelRunner, text: SampleText, width: int, context: int) -> float:
    """Return the seconds of one forward pass, up to the token ids on the host.

    Args:
        runner: holds ``context`` cache entries, before and after the call.
        text: the tokens, of which the first ``context`` are in the cache.
        width: number of new tokens.
        context: number of cache entries.
    """
    visible = torch.ones(width, width, dtype=torch.bool).tril() if width > 1 else None
    tokens = text.part(context, width)
    start = time.perf_counter()
    runner.predict(runner.forward(tokens, range(context, context + width), visible))
    seconds = time.perf_counter() - start
    runner.cache.keep(context, [])
    return seconds


def conditions(model: PreTrainedModel, static: "GraphedModel | None" = None) -> dict[str, Any]:
    """Return the conditions that a latency depends on, as a JSON value.

    Args:
        model: target or draft.
        static: see :func:`load_cost_model`.
    """
    config = {name: value for name, value in model.config.to_dict().items() if not name.startswith("_")}
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else describe_host()["processor"]
    return {
        "architecture": hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:16],
        "layers": sorted({type(module).__name__ for module in model.modules()}),
        "head_rows": head_rows(model),
        "dtype": str(model.dtype),
        "device": device,
        "threads": torch.get_num_threads() if model.device.type == "cpu" else None,
        "dynatree": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cuda": settings(model.device),
        "driver": driver_version(model.device),
        "host": platform.node(),
        "passes": static.name if static else "ordinary",
        "attention": "split" if static and static.kernel else "stock",
    }


def _key(conditions: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:16]
