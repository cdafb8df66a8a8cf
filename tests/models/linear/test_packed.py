"""Packed weights decode what stock layers decode."""

import copy

import pytest
import torch

from dynatree import DynatreeError, ModelPair, generate
from dynatree.models.linear.packed import PackedLinear, faster_packed, pack
from dynatree.models.trimmed_head import trim_vocabulary
from tests.support.models import disturbed, reference, tiny_model

PROMPT = [5, 9, 2, 7]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 7), (3, 7), (2, 4, 7), (300, 7)])
def test_a_packed_layer_is_the_layer(bias, shape):
    linear = torch.nn.Linear(7, 12, bias=bias)
    hidden = torch.randn(shape)
    with torch.inference_mode():
        assert torch.allclose(PackedLinear(linear)(hidden), linear(hidden), atol=1e-6)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@pytest.mark.parametrize("method", ["autoregressive", "chain", "dynatree", "cost_aware"])
def test_output_stays_that_of_hugging_face(kind, method):
    stock = tiny_model(kind, 1)
    expected = reference(stock, PROMPT, 30, None)
    target = pack(copy.deepcopy(stock))
    pair = ModelPair(target, pack(disturbed(stock, 0.05)))
    assert generate(pair, PROMPT, method, 30, None).tokens == expected
    assert reference(target, PROMPT, 30, None) == expected


def test_a_trimmed_draft_stays_exact():
    stock = tiny_model("llama", 1)
    draft = pack(trim_vocabulary(disturbed(stock, 0.05), list(range(0, stock.config.vocab_size, 2))))
    out = generate(ModelPair(stock, draft), PROMPT, "dynatree", 30, None)
    assert out.tokens == reference(stock, PROMPT, 30, None)
    assert out.stats.accepted > 0


def test_other_formats_are_refused():
    with pytest.raises(DynatreeError, match="needs float32 on a CPU"):
        pack(tiny_model("llama", 1).to(torch.bfloat16))


def test_the_choice_is_measured():
    assert isinstance(faster_packed(tiny_model("llama", 1)), bool)
