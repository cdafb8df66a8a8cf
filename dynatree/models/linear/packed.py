"""Weights in oneDNN's blocked layout, for the small matrix products of decoding on a CPU.

A forward pass over a tree multiplies a few rows by wide weights. oneDNN is faster on its own blocked layout. We convert
the weights once; the stock layer reads the plain layout in every pass.
"""

import torch
from torch import nn
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.linear.replace import LinearLayer, faster, replace_layers
from dynatree.models.trimmed_head import TrimmedHead

BACKENDS = ("stock", "packed", "auto")


class PackedLinear(nn.Module):
    """A linear layer over packed float32 weights; the original weight is dropped."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self._packed = _pack(linear.weight)
        self.unlisted_bytes = _bytes(self._packed)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        # hidden: [..., in]
        return _multiply(hidden, self._packed, self.bias)


class PackedTrimmedHead(TrimmedHead):
    """A trimmed head over packed weights."""

    def __init__(self, head: TrimmedHead):
        super().__init__(head.weight.new_empty(0), head.token_map, head.vocabulary)
        self._packed = _pack(head.weight)
        self.unlisted_bytes = _bytes(self._packed)

    def trimmed(self, hidden: torch.Tensor) -> torch.Tensor:
        return _multiply(hidden, self._packed, None)


def packed_layer(layer: LinearLayer) -> nn.Module:
    """Return a packed layer in place of a linear layer or a trimmed head."""
    return PackedTrimmedHead(layer) if isinstance(layer, TrimmedHead) else PackedLinear(layer)


def pack(model: PreTrainedModel) -> PreTrainedModel:
    """Replace the linear layers of a float32 model on a CPU, its head included, by packed ones, in place.

    The model can no longer be saved, moved or trained. Embeddings that a head is tied to stay as a copy.

    Raises:
        DynatreeError: the model is not in float32 on a CPU, or this build of torch has no oneDNN.
    """
    if not packable(model):
        raise DynatreeError(
            f"backend 'packed' needs float32 on a CPU and a torch with oneDNN, not {model.dtype} on {model.device}; "
            "choose backend='stock'"
        )
    return replace_layers(model, packed_layer)


def packable(model: PreTrainedModel) -> bool:
    """Return True if :func:`pack` works for a model on this machine."""
    return model.device.type == "cpu" and model.dtype == torch.float32 and torch.backends.mkldnn.is_available()


def faster_packed(model: PreTrainedModel) -> bool:
    """Return True if a short measurement finds the layers of a model faster when packed."""
    return faster(model, packed_layer, than=lambda layer: layer)


def _pack(weight: torch.Tensor) -> torch.Tensor:
    # weight: [out, in]
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)


def _bytes(packed: torch.Tensor) -> int:
    return packed.numel() * packed.element_size()


def _multiply(hidden: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(hidden, packed, bias, "none", [], "")
