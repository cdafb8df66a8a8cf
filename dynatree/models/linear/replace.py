"""Find and replace the linear layers of a model, and measure which of two kinds is faster."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from transformers import PreTrainedModel

from dynatree.models.trimmed_head import TrimmedHead

LinearLayer = nn.Linear | TrimmedHead
Maker = Callable[[LinearLayer], nn.Module]
MEASURED_TOKENS = (1, 4, 8)  # new tokens of the products that are measured
REPETITIONS = 5


def linear_layers(model: PreTrainedModel) -> dict[str, LinearLayer]:
    """Return the ordinary linear layers by name, the output head included."""
    return {
        name: layer
        for name, layer in model.named_modules()
        if type(layer) is nn.Linear or type(layer) is TrimmedHead  # subclasses have layouts of their own
    }


def replace_layers(model: PreTrainedModel, make: Maker) -> PreTrainedModel:
    """Replace each linear layer by the result of ``make``, in place."""
    for name, layer in linear_layers(model).items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, make(layer))
    return model


def unlisted_bytes(model: PreTrainedModel) -> int:
    """Return the bytes of weights in layouts that no state dict lists."""
    return sum(getattr(module, "unlisted_bytes", 0) for module in model.modules())


@torch.inference_mode()
def faster(model: PreTrainedModel, make: Maker, than: Maker) -> bool:
    """Return True if layers made by ``make`` are faster than those made by ``than``, in a model on a CPU.

    One layer of each shape is measured. The medians of interleaved products are summed over shapes and
    numbers of tokens.
    """
    shapes = {
        (layer.weight.shape, getattr(layer, "bias", None) is None): layer for layer in linear_layers(model).values()
    }
    seconds = [0.0, 0.0]
    for layer in shapes.values():
        projections = [_projection(make(layer)), _projection(than(layer))]
        for tokens in MEASURED_TOKENS:
            hidden = torch.randn(tokens, layer.weight.shape[1])
            times = [[_time(project, hidden) for project in projections] for _ in range(REPETITIONS)]
            for index, column in enumerate(zip(*times, strict=True)):
                seconds[index] += statistics.median(column)
    return seconds[0] < seconds[1]


def _projection(layer: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    return layer.trimmed if isinstance(layer, TrimmedHead) else layer


def _time(project: Callable[[torch.Tensor], torch.Tensor], hidden: torch.Tensor) -> float:
    start = time.perf_counter()
    project(hidden)
    return time.perf_counter() - start
