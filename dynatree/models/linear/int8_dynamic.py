"""A draft that multiplies in int8 on a CPU.

A draft only proposes, so its rounding never reaches the output. In int8 its weights take a quarter of the memory
traffic, and its products are those of fbgemm. Inputs are rounded in each pass, to two digits of seven bits each: the
second one keeps the proposals close to those in float32, and as a further row of a small product it costs little.
"""

import warnings

import torch
from torch import nn
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.linear.replace import replace_layers
from dynatree.models.trimmed_head import TrimmedHead

DRAFT_WEIGHTS = ("same", "int8", "auto")
ENGINES = ("x86", "fbgemm", "onednn")
DIGIT = 63  # largest magnitude of a digit
BASE = 2 * DIGIT  # what a digit is worth in units of the next one
SMALLEST = 1e-12  # scale of a row of zeros


class IntegerLinear(nn.Module):
    """A linear layer whose weight is int8 with one scale per output row, and whose input is rounded in each pass."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self._packed = _pack(linear.weight)
        self.unlisted_bytes = linear.weight.numel()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        # hidden: [..., in]
        output = _multiply(hidden, self._packed)
        return output if self.bias is None else output + self.bias


class IntegerTrimmedHead(TrimmedHead):
    """A trimmed head of int8 weights."""

    def __init__(self, head: TrimmedHead):
        super().__init__(head.weight.new_empty(0), head.token_map, head.vocabulary)
        self._packed = _pack(head.weight)
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


def _pack(weight: torch.Tensor) -> torch.ScriptObject:
    # weight: [out, in]
    weight = weight.detach()
    scales = weight.abs().amax(dim=1).clamp_min(SMALLEST).double() / 127  # [out]
    with warnings.catch_warnings():
        # The kernel takes no other weights than such tensors, which torch means to replace.
        warnings.filterwarnings("ignore", message=".*quantized tensor creation functions.*")
        rounded = torch.quantize_per_channel(
            weight, scales, torch.zeros(len(scales), dtype=torch.int64), 0, torch.qint8
        )
    return torch.ops.quantized.linear_prepack(rounded, None)


def _multiply(hidden: torch.Tensor, packed: torch.ScriptObject) -> torch.Tensor:
    """The product with packed weights: each row is written as whole numbers up to ``DIGIT``, and 1 / ``BASE`` of such.

    Seven bits at a time, because the kernel's sums of two products would overflow with eight.
    """
    rows = hidden.reshape(-1, hidden.shape[-1])  # [n, in]
    scales = torch.linalg.vector_norm(rows, torch.inf, -1, keepdim=True).clamp_min_(SMALLEST).div_(DIGIT)  # [n, 1]
    first = rows / scales
    second = (first - first.round()).mul_(BASE)
    digits = torch.cat((first, second))  # [2n, in]
    sums = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(digits, 1.0, DIGIT + 1, packed)
    output = torch.add(sums[: len(rows)], sums[len(rows) :], alpha=1 / BASE).mul_(scales)
    return output.reshape(*hidden.shape[:-1], -1)
