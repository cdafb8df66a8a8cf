"""A window for each head, by the tokens that the head attends to.

Some heads attend to the first and to nearby tokens, others to the complete text. Only the latter need a full cache:
Xiao et al., "DuoAttention", ICLR 2025, and Ge et al., "Model Tells You What to Discard", ICLR 2024. The head analysis
of this package classifies the heads in a file. Heads keep different numbers of entries. The cache stores no padding.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch

from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Kept, Method
from dynatree.utils.validate import at_least

FORMAT, VERSION = "dynatree-heads", 1


@dataclass(kw_only=True)
class HeadAware(Method):
    """Keeps, in each head, the sinks and the head's window.

    Attributes:
        classification: file with a window for each query head; a key/value head has the largest of its group.
        sinks: first tokens, which stay in every head.
        windows: by layer and key/value head; None keeps everything.
    """

    classification: str | Path
    sinks: int = 4
    windows: list[list[int | None]] = field(init=False, repr=False)
    ragged = True

    def __post_init__(self):
        super().__post_init__()
        at_least(0, sinks=self.sinks)
        self.windows = read_windows(Path(self.classification))

    def check_model(self, layers: int, heads: int, kv_heads: int) -> None:
        super().check_model(layers, heads, kv_heads)
        if (len(self.windows), len(self.windows[0])) != (layers, kv_heads):
            raise DynatreeError(
                f"{self.classification} classifies {len(self.windows)} layers of {len(self.windows[0])} key/value "
                f"heads, but the model has {layers} of {kv_heads}; analyze the heads of this model"
            )

    def select(self, keys, values, attention, positions, seen, layer) -> Kept:
        # positions: [kv_heads, length]
        windows = [seen if window is None else window for window in self.windows[layer]]
        first = torch.tensor([seen - window for window in windows], device=positions.device)[:, None]
        stays = (positions >= 0) & ((positions < self.sinks) | (positions >= first))
        return [line.nonzero().flatten() for line in stays]


def read_windows(path: Path) -> list[list[int | None]]:
    """Return the window of each key/value head, by layer, from a classification of query heads.

    Raises:
        DynatreeError: the file is missing, damaged, of another format, or does not cover every head once.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise DynatreeError(f"cannot read the head classification {path}: {error.strerror}") from error
    except ValueError as error:
        raise DynatreeError(f"the head classification {path} is damaged: {error}; analyze the heads again") from error
    if not isinstance(content, dict) or (content.get("format"), content.get("version")) != (FORMAT, VERSION):
        raise DynatreeError(f"{path} is not a head classification of format {FORMAT!r}, version {VERSION}")
    try:
        return _group(content["model"], content["heads"])
    except (KeyError, TypeError, IndexError, ValueError, ZeroDivisionError) as error:
        raise DynatreeError(
            f"the head classification {path} is damaged ({type(error).__name__}: {error}); analyze the heads again"
        ) from error


def _group(model: dict, heads: list[dict]) -> list[list[int | None]]:
    layers, query_heads, kv_heads = (model[name] for name in ("layers", "heads", "kv_heads"))
    windows = {(head["layer"], head["head"]): head["window"] for head in heads}
    expected = {(layer, head) for layer in range(layers) for head in range(query_heads)}
    if not expected or query_heads % kv_heads or set(windows) != expected or len(heads) != len(expected):
        raise ValueError("it does not name every head once")
    if not all(window is None or (type(window) is int and window > 0) for window in windows.values()):
        raise ValueError("a window is neither a positive whole number nor null")
    size = query_heads // kv_heads
    return [
        [_largest([windows[layer, kv * size + i] for i in range(size)]) for kv in range(kv_heads)]
        for layer in range(layers)
    ]


def _largest(windows: list[int | None]) -> int | None:
    limited = [window for window in windows if window is not None]
    return max(limited) if len(limited) == len(windows) else None
