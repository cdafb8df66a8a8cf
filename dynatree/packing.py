"""Weights laid out once for the small products of decoding on a CPU.

A pass over a tree multiplies a few rows by wide weights. oneDNN does that faster with weights in blocks of its own,
which are made here ahead of time, than the stock layer, which finds them as they are in every pass.
"""

import statistics
import time

import torch
from torch import nn
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.trimming import TrimmedHead

BACKENDS = ("stock", "packed", "auto")
TRIED_ROWS = (1, 4, 8)  # new tokens by which "auto" compares
TRIED_TIMES = 5


class PackedLinear(nn.Module):
    """A linear layer over packed float32 weights; the original weight is not kept."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self._packed = _pack(linear.weight)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        # hidden: [..., in]
        return _multiply(hidden, self._packed, self.bias)


class PackedTrimmedHead(TrimmedHead):
    """A trimmed head over packed weights."""

    def __init__(self, head: TrimmedHead):
        super().__init__(head.weight.new_empty(0), head.token_map, head.vocabulary)
        self._packed = _pack(head.weight)

    def trimmed(self, hidden: torch.Tensor) -> torch.Tensor:
        return _multiply(hidden, self._packed, None)


def pack(model: PreTrainedModel) -> PreTrainedModel:
    """Replace the linear layers of a float32 model on a CPU, its head included, by packed ones, in place.

    The model can no longer be saved, moved or trained. Embeddings that a head is tied to keep a copy of their own.

    Raises:
        DynatreeError: the model is elsewhere or in another format, or this build of torch has no oneDNN.
    """
    if not packable(model):
        raise DynatreeError(
            f"backend 'packed' needs float32 on a CPU and a torch with oneDNN, not {model.dtype} on {model.device}; "
            "choose backend='stock'"
        )
    for name, layer in _layers(model).items():
        _put(model, name, _packed_layer(layer))
    return model


def packed_bytes(model: PreTrainedModel) -> int:
    """Bytes of a model's packed weights, which no state dict lists."""
    packed = (one._packed for one in model.modules() if isinstance(one, PackedLinear | PackedTrimmedHead))
    return sum(weight.numel() * weight.element_size() for weight in packed)


def is_packed(model: PreTrainedModel) -> bool:
    """Whether :func:`pack` was applied to a model."""
    return any(isinstance(one, PackedLinear | PackedTrimmedHead) for one in model.modules())


def packable(model: PreTrainedModel) -> bool:
    """Whether :func:`pack` works for a model here."""
    return model.device.type == "cpu" and model.dtype == torch.float32 and torch.backends.mkldnn.is_available()


@torch.inference_mode()
def faster_packed(model: PreTrainedModel) -> bool:
    """Whether one layer of each shape in the model is faster packed, by the medians of interleaved products."""
    shapes = {(layer.weight.shape, layer.bias is None): layer for layer in _layers(model).values()}
    times: dict[str, list[float]] = {"stock": [], "packed": []}
    for layer in shapes.values():
        packed = _packed_layer(layer)
        for rows in TRIED_ROWS:
            hidden = torch.randn(rows, layer.weight.shape[1])
            for name, module in (("stock", layer), ("packed", packed)):
                project = module.trimmed if isinstance(module, TrimmedHead) else module
                times[name].append(statistics.median(_time(project, hidden) for _ in range(TRIED_TIMES)))
    return sum(times["packed"]) < sum(times["stock"])


def _time(project, hidden: torch.Tensor) -> float:
    start = time.perf_counter()
    project(hidden)
    return time.perf_counter() - start


def _layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    return {name: one for name, one in model.named_modules() if type(one) in (nn.Linear, TrimmedHead)}


def _packed_layer(layer: nn.Module) -> nn.Module:
    return PackedTrimmedHead(layer) if isinstance(layer, TrimmedHead) else PackedLinear(layer)


def _put(model: PreTrainedModel, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)


def _pack(weight: torch.Tensor) -> torch.Tensor:
    # weight: [out, in]
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)


def _multiply(hidden: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(hidden, packed, bias, "none", [], "")
