"""int8 weights: close to the originals, whole models still decode losslessly by their own measure."""

import pytest
import torch
from torch import nn

from dynatree import ModelPair, generate, load_pair
from dynatree.benchmark.logit_gap import largest_gap
from dynatree.data.random_model import save_tiny_checkpoint
from dynatree.models.int8_weight_only import Int8Linear, quantize, unpacked
from tests.support.models import disturbed, tiny_model


@pytest.mark.parametrize("bias", [True, False])
def test_a_quantized_layer_multiplies_by_its_rounded_weight(bias):
    torch.manual_seed(0)
    linear = nn.Linear(64, 48, bias=bias, dtype=torch.bfloat16)
    layer = Int8Linear(linear)
    rounded = layer.weight.float() * layer.scale.float()[:, None]
    assert (rounded - linear.weight.float()).abs().max() <= linear.weight.abs().max() / 127
    hidden = torch.randn(1, 5, 64, dtype=torch.bfloat16)
    expected = nn.functional.linear(hidden.float(), rounded, linear.bias.float() if bias else None)
    assert layer(hidden).shape == (1, 5, 48)
    assert torch.allclose(layer(hidden).float(), expected, atol=0.02, rtol=0.02)


def test_large_outputs_of_small_weights_do_not_overflow_float16():
    """Devices other than a CPU multiply by the unpacked weight."""
    torch.manual_seed(0)
    linear = nn.Linear(64, 8, bias=False)
    nn.init.uniform_(linear.weight, -0.3, 0.3)
    layer = Int8Linear(linear.half())
    hidden = 1e3 * linear.weight.detach()[:1].float().sign()
    output = nn.functional.linear(hidden.half(), unpacked(layer.weight, layer.scale, torch.float16))
    expected = nn.functional.linear(hidden, linear.weight.float())
    assert expected.abs().max() > 5e3
    assert torch.allclose(output.float(), expected, rtol=0.01, atol=40)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_trees_stay_within_rounding_of_the_quantized_target(kind):
    target = quantize(tiny_model(kind).bfloat16())
    assert isinstance(target.get_output_embeddings(), Int8Linear)
    pair = ModelPair(target, disturbed(tiny_model(kind)).bfloat16())
    for method in ("autoregressive", "chain", "dynatree"):
        out = generate(pair, [4, 5, 6, 7], method, 24, eos_token_id=None)
        assert len(out.tokens) == 24
        assert largest_gap(pair, [4, 5, 6, 7], out.tokens) < 0.5


def test_a_tied_head_keeps_its_format():
    model = tiny_model()
    model.lm_head.weight = model.model.embed_tokens.weight
    assert type(quantize(model).lm_head) is nn.Linear


def test_only_the_target_is_quantized(tmp_path):
    for name, layers in (("target", 2), ("draft", 1)):
        save_tiny_checkpoint(tmp_path / name, "llama", seed=1, layers=layers, noise=0.0)
    pair = load_pair(tmp_path / "target", tmp_path / "draft", device="cpu", dtype="int8")
    assert any(isinstance(module, Int8Linear) for module in pair.target.modules())
    assert not any(isinstance(module, Int8Linear) for module in pair.draft.modules())
    assert pair.target.dtype == pair.draft.dtype == torch.bfloat16
