"""The linear layers of a model: finding them, putting others in their place, and finding out which are faster."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from transformers import PreTrainedModel

from dynatree.models.trimmed_head import TrimmedHead

Maker = Callable[[nn.Module], nn.Module]
TRIED_ROWS = (1, 4, 8)  # new tokens by which layers are compared
TRIED_TIMES = 5


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """The ordinary linear layers by name, the output head included."""
    return {name: one for name, one in model.named_modules() if type(one) in (nn.Linear, TrimmedHead)}


def replace_layers(model: PreTrainedModel, make: Maker) -> PreTrainedModel:
    """Put what ``make`` makes of each linear layer in its place."""
    for name, layer in linear_layers(model).items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, make(layer))
    return model


def unlisted_bytes(model: PreTrainedModel) -> int:
    """Bytes of weights that no state dict lists, because they lie in a form of their own."""
    return sum(getattr(module, "unlisted_bytes", 0) for module in model.modules())


@torch.inference_mode()
def faster(model: PreTrainedModel, make: Maker, than: Maker) -> bool:
    """Whether one layer of each shape in a model on a CPU is faster made by ``make`` than made by ``than``.

    Medians of interleaved products are compared, summed over shapes and numbers of rows.
    """
    shapes = {(one.weight.shape, getattr(one, "bias", None) is None): one for one in linear_layers(model).values()}
    seconds = [0.0, 0.0]
    for layer in shapes.values():
        projections = [_projection(make(layer)), _projection(than(layer))]
        for rows in TRIED_ROWS:
            hidden = torch.randn(rows, layer.weight.shape[1])
            times = [[_time(project, hidden) for project in projections] for _ in range(TRIED_TIMES)]
            for index, column in enumerate(zip(*times, strict=True)):
                seconds[index] += statistics.median(column)
    return seconds[0] < seconds[1]


def _projection(layer: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    return layer.trimmed if isinstance(layer, TrimmedHead) else layer


def _time(project: Callable[[torch.Tensor], torch.Tensor], hidden: torch.Tensor) -> float:
    start = time.perf_counter()
    project(hidden)
    return time.perf_counter() - start
