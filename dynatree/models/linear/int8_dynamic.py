"""Dynamic int8 quantization of a draft on a CPU.

The target verifies every token of a draft, so rounding in the draft never reaches the output. Int8 weights take a
quarter of the memory traffic, and fbgemm multiplies them. Activations are quantized dynamically into two 7-bit digits.
The second digit recovers most of the float32 accuracy and costs only one extra row per token in a small product.
"""

import warnings

import torch
from torch import nn
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.linear.replace import LinearLayer, replace_layers
from dynatree.models.trimmed_head import TrimmedHead

DRAFT_WEIGHTS = ("same", "int8", "auto")
ENGINES = ("x86", "fbgemm", "onednn")
DIGIT = 63  # largest magnitude of a digit
BASE = 2 * DIGIT  # value of a digit in units of the next one
MIN_SCALE = 1e-12  # scale of a row of zeros


class IntegerLinear(nn.Module):
    """A linear layer with an int8 weight, one scale per output row, and dynamically quantized input."""

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
    """A trimmed head with an int8 weight."""

    def __init__(self, head: TrimmedHead):
        super().__init__(head.weight.new_empty(0), head.token_map, head.vocabulary)
        self._packed = _pack(head.weight)
        self.unlisted_bytes = head.weight.numel()

    def trimmed(self, hidden: torch.Tensor) -> torch.Tensor:
        return _multiply(hidden, self._packed)


def integer_layer(layer: LinearLayer) -> nn.Module:
    """Return an int8 layer in place of a linear layer or a trimmed head."""
    return IntegerTrimmedHead(layer) if isinstance(layer, TrimmedHead) else IntegerLinear(layer)


def quantize_dynamic(draft: PreTrainedModel) -> PreTrainedModel:
    """Replace the linear layers of a float32 draft on a CPU, its head included, by int8 ones, in place.

    The draft can no longer be saved, moved or trained. Embeddings that a head is tied to stay unchanged.

    Raises:
        DynatreeError: the draft is not in float32 on a CPU, or this build of torch does not multiply int8.
    """
    if not supports_int8(draft):
        raise DynatreeError(
            f"draft_weights 'int8' needs a draft in float32 on an x86 CPU, not in {draft.dtype} on {draft.device} with "
            f"the quantized engine {torch.backends.quantized.engine!r}; choose draft_weights='same'"
        )
    return replace_layers(draft, integer_layer)


def supports_int8(draft: PreTrainedModel) -> bool:
    """Return True if :func:`quantize_dynamic` works for a draft on this machine."""
    suitable = draft.device.type == "cpu" and draft.dtype == torch.float32
    return suitable and torch.backends.quantized.engine in ENGINES


def _pack(weight: torch.Tensor) -> torch.ScriptObject:
    # weight: [out, in]
    weight = weight.detach()
    scales = weight.abs().amax(dim=1).clamp_min(MIN_SCALE).double() / 127  # [out]
    with warnings.catch_warnings():
        # The kernel accepts no other tensors, although torch deprecates them.
        warnings.filterwarnings("ignore", message=".*quantized tensor creation functions.*")
        rounded = torch.quantize_per_channel(
            weight, scales, torch.zeros(len(scales), dtype=torch.int64), 0, torch.qint8
        )
    return torch.ops.quantized.linear_prepack(rounded, None)


def _multiply(hidden: torch.Tensor, packed: torch.ScriptObject) -> torch.Tensor:
    """Product with packed weights: each row of ``hidden`` is an integer up to ``DIGIT`` plus another one / ``BASE``.

    Digits have seven bits because the kernel's sums of two products would overflow with eight.
    """
    rows = hidden.reshape(-1, hidden.shape[-1])  # [n, in]
    scales = torch.linalg.vector_norm(rows, torch.inf, -1, keepdim=True).clamp_min_(MIN_SCALE).div_(DIGIT)  # [n, 1]
    first = rows / scales
    second = (first - first.round()).mul_(BASE)
    digits = torch.cat((first, second))  # [2n, in]
    sums = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(digits, 1.0, DIGIT + 1, packed)
    output = torch.add(sums[: len(rows)], sums[len(rows) :], alpha=1 / BASE).mul_(scales)
    return output.reshape(*hidden.shape[:-1], -1)
