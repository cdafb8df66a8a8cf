"""Weight-only int8 quantization: weights in int8, activations in a floating-point format."""

import torch
from torch import nn
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.supported import has_plain_weights, is_hooked


class Int8Linear(nn.Module):
    """A linear layer with an int8 weight and one scale per output row.

    Rows are scaled symmetrically by their largest magnitude (round to nearest). On a CPU one kernel multiplies without
    unpacking. Elsewhere each pass converts the weight, which saves memory but no time.
    """

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(dim=1).clamp_min(1e-12) / 127
        self.register_buffer("weight", (weight / scale[:, None]).round().to(torch.int8))  # [out, in]
        self.register_buffer("scale", scale)  # [out], float32
        self.bias = linear.bias

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        # hidden: [..., in]
        rows = hidden.reshape(-1, hidden.shape[-1])
        if rows.device.type == "cpu":
            output = torch.ops.aten._weight_int8pack_mm(rows.contiguous(), self.weight, self.scale.to(rows.dtype))
        else:
            output = nn.functional.linear(rows, unpacked(self.weight, self.scale, rows.dtype))
        if self.bias is not None:
            output = output + self.bias
        return output.reshape(*hidden.shape[:-1], -1)


def unpacked(weight: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the weight [out, in] in a floating-point format.

    The scale is a part of the weight. As a factor of the output, it would leave products of up to 127 times the output,
    which overflow float16.

    Args:
        weight: int8 [out, in].
        scale: float32 [out].
        dtype: format of the result.
    """
    return (weight * scale[:, None]).to(dtype)


def quantize(model: PreTrainedModel) -> PreTrainedModel:
    """Replace the linear layers of ``model`` by int8 ones, in place; a head tied to the embeddings stays unchanged.

    Raises:
        DynatreeError: a layer or its weight is of a subclass, or the layer has hooks, so its weight alone is not the
            layer.
    """
    tied = model.get_input_embeddings().weight
    layers = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.weight is not tied
    ]
    for name, module in layers:
        if type(module) is not nn.Linear or is_hooked(module) or not has_plain_weights(module):
            raise DynatreeError(
                f"the layer {name} is adapted, hooked or quantized already; quantize the model before that"
            )
    for name, module in layers:
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, Int8Linear(module))
    return model
