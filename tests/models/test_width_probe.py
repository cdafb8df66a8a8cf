"""Linear layers in half precision that depend on the number of tokens."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from dynatree.errors import DynatreeError
from dynatree.models.strict import StrictModel
from dynatree.models.width_probe import width_dependent_layer
from tests.support.models import tiny_model

HALF = (torch.bfloat16, torch.float16)


def split_product(state: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return state [rows, inputs] times weight [inputs, outputs]; several rows are added in two parts."""
    parts = [slice(None)] if state.shape[-2] == 1 else [slice(0, 20), slice(20, None)]
    return sum(state[..., part].float() @ weight[part].float() for part in parts).to(state.dtype)


class SplitLinear(nn.Linear):
    def forward(self, state: torch.Tensor) -> torch.Tensor:
        return split_product(state, self.weight.T)


class SplitConv1D(Conv1D):
    def forward(self, state: torch.Tensor) -> torch.Tensor:
        return split_product(state, self.weight) + self.bias


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("layer", [SplitLinear(48, 7, bias=False), SplitConv1D(7, 33)])
@torch.inference_mode()
def test_another_order_of_addition_is_found_for_every_width(layer, dtype):
    model = nn.Sequential(nn.LayerNorm(48), layer).to(dtype)
    assert width_dependent_layer(model, 1) is None
    assert {width_dependent_layer(model, width) for width in range(2, 65)} == {"1"}


@pytest.mark.parametrize("dtype", HALF)
@torch.inference_mode()
def test_layers_that_multiply_row_by_row_pass_and_stay_as_they_are(dtype):
    model = tiny_model("gpt_neox").to(dtype)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert [width_dependent_layer(model, width) for width in range(1, 65)] == [None] * 64
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@torch.inference_mode()
def test_a_difference_that_rounding_hides_is_refused_and_named():
    model = tiny_model("llama").bfloat16()
    layer = model.model.layers[1].mlp.down_proj
    state = torch.randn(21, layer.in_features, generator=torch.Generator().manual_seed(0)).bfloat16()
    alone = torch.cat([layer(row) for row in state.split(1)])
    layer.__class__ = SplitLinear
    assert torch.equal(layer(state), alone)
    with pytest.raises(DynatreeError, match=r"layer 'model.layers.1.mlp.down_proj' .* over 2 tokens"):
        StrictModel(model, 2)
