"""A draft that multiplies in int8 on a CPU.

A draft only proposes, so its rounding never reaches the output. In int8 its weights take a quarter of the
memory traffic, and its products are those of fbgemm, which rounds the activations of each pass to integers.
"""

import warnings

import torch
from torch import nn
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.layers import replace_layers
from dynatree.trimming import TrimmedHead

DRAFT_WEIGHTS = ("same", "int8", "auto")
ENGINES = ("x86", "fbgemm", "onednn")


class IntegerLinear(nn.Module):
    """A linear layer whose weight is int8 with one scale per output row, and whose input is rounded in each pass.

    The input's one scale spans all rows; it has seven bits, with which products of pairs cannot overflow.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._packed = _pack(linear.weight, linear.bias)
        self.unlisted_bytes = linear.weight.numel()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        # hidden: [..., in]
        return _multiply(hidden, self._packed)


class IntegerTrimmedHead(TrimmedHead):
    """A trimmed head of int8 weights."""

    def __init__(self, head: TrimmedHead):
        super().__init__(head.weight.new_empty(0), head.token_map, head.vocabulary)
        self._packed = _pack(head.weight, None)
        self.unlisted_bytes = head.weight.numel()

    def trimmed(self, hidden: torch.Tensor) -> torch.Tensor:
        return _multiply(hidden, self._packed)


def integer_layer(layer: nn.Module) -> nn.Module:
    """An int8 layer in place of a linear one or a trimmed head."""
    return IntegerTrimmedHead(layer) if isinstance(layer, TrimmedHead) else IntegerLinear(layer)


def in_integers(draft: PreTrainedModel) -> PreTrainedModel:
    """Replace the linear layers of a float32 draft on a CPU, its head included, by int8 ones, in place.

    The draft can no longer be saved, moved or trained. Embeddings that a head is tied to stay as they are.

    Raises:
        DynatreeError: the draft is elsewhere or in another format, or this build of torch multiplies no integers.
    """
    if not has_integers(draft):
        raise DynatreeError(
            f"draft_weights 'int8' needs a draft in float32 on an x86 CPU, not in {draft.dtype} on {draft.device} with "
            f"the quantised engine {torch.backends.quantized.engine!r}; choose draft_weights='same'"
        )
    return replace_layers(draft, integer_layer)


def has_integers(draft: PreTrainedModel) -> bool:
    """Whether :func:`in_integers` works for a draft here."""
    here = draft.device.type == "cpu" and draft.dtype == torch.float32
    return here and torch.backends.quantized.engine in ENGINES


def _pack(weight: torch.Tensor, bias: torch.Tensor | None) -> torch.ScriptObject:
    # weight: [out, in]
    weight = weight.detach()
    scales = weight.abs().amax(dim=1).clamp_min(1e-12).double() / 127  # [out]
    with warnings.catch_warnings():
        # The kernel takes no other weights than such tensors, which torch means to replace.
        warnings.filterwarnings("ignore", message=".*quantized tensor creation functions.*")
        rounded = torch.quantize_per_channel(
            weight, scales, torch.zeros(len(scales), dtype=torch.int64), 0, torch.qint8
        )
    return torch.ops.quantized.linear_prepack(rounded, None if bias is None else bias.detach())


def _multiply(hidden: torch.Tensor, packed: torch.ScriptObject) -> torch.Tensor:
    return torch.ops.quantized.linear_dynamic(hidden, packed, reduce_range=True)
