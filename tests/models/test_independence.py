"""Targets whose tokens depend on others of the same forward pass."""

import pytest
import torch
from torch import nn

from dynatree import DynatreeError, ModelPair, generate, generate_batch
from dynatree.models.int8_weight_only import quantize
from dynatree.models.kernels.backend import use_small_batches
from dynatree.models.trimmed_head import trim_vocabulary
from tests.support.models import VOCABULARY, disturbed, reference, tiny_model

PROMPT = [5, 9, 2]
TREES = ["chain", "fixed_tree", "dynatree", "cost_aware"]


def quantized(model):
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


class Capacity(nn.Module):
    """A layer that serves only the first rows of a forward pass, as a full expert does."""

    rows = 2

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, hidden):
        out = self.layer(hidden)
        out[:, self.rows :] *= 0.5
        return out


def capped(model):
    model.base_model.layers[0].mlp = Capacity(model.base_model.layers[0].mlp)
    return model


def roomy(model):
    capped(model).base_model.layers[0].mlp.rows = 20
    return model


def biased_by_row(model):
    bias = torch.randn(64, VOCABULARY, generator=torch.Generator().manual_seed(0))
    model.lm_head.register_forward_hook(lambda head, inputs, logits: logits + bias[: logits.shape[-2]])
    return model


class OneScale(torch.Tensor):
    """A weight of an ordinary layer that rounds its input by one scale for all rows."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is not nn.functional.linear:
            return super().__torch_function__(func, types, args, kwargs or {})
        hidden, weight, *bias = args
        scale = hidden.abs().amax() / 127
        return func((hidden / scale).round() * scale, weight.as_subclass(torch.Tensor), *bias)


def rounded(model):
    for layer in model.base_model.layers:
        layer.mlp.up_proj.weight = nn.Parameter(layer.mlp.up_proj.weight.data.as_subclass(OneScale), False)
    return model


@pytest.mark.parametrize("change", [quantized, capped, roomy, biased_by_row, rounded])
def test_trees_are_refused_and_single_tokens_are_exact(change):
    draft = disturbed(tiny_model())
    target = change(tiny_model())
    pair = ModelPair(target, draft)
    assert generate(pair, PROMPT, "autoregressive", 12, None).tokens == reference(target, PROMPT, 12, None)
    for method in TREES:
        with pytest.raises(DynatreeError, match="depend on each other"):
            generate(pair, PROMPT, method, 12, None)
    with pytest.raises(DynatreeError, match="depend on each other"):
        generate_batch(pair, [PROMPT, [4]], "autoregressive", 12, None)


def test_rounding_of_half_precision_hides_no_dependence():
    pair = ModelPair(rounded(tiny_model().bfloat16()), disturbed(tiny_model()))
    for method in TREES:
        with pytest.raises(DynatreeError, match="depend on each other"):
            generate(pair, PROMPT, method, 12, None)
    with pytest.raises(DynatreeError, match="depend on each other"):
        generate_batch(pair, [PROMPT, [4]], "autoregressive", 12, None)


def test_rounding_of_half_precision_is_no_dependence():
    target = tiny_model().bfloat16()
    target.base_model.layers[0].mlp.register_forward_hook(lambda layer, inputs, out: out * 1.01)
    pair = ModelPair(target, disturbed(tiny_model()))
    assert len(generate(pair, PROMPT, "chain", 12, None).tokens) == 12
    assert len(generate_batch(pair, [PROMPT, [4]], "chain", 12, None)) == 2


def test_a_layer_that_mixes_the_rows_of_a_batch_is_refused_in_batches_only():
    target = tiny_model()
    target.base_model.layers[1].mlp.register_forward_hook(lambda layer, inputs, out: out + out.mean(0, keepdim=True))
    pair = ModelPair(target, disturbed(tiny_model()))
    assert generate(pair, PROMPT, "chain", 12, None).tokens == reference(target, PROMPT, 12, None)
    with pytest.raises(DynatreeError, match="depend on each other"):
        generate_batch(pair, [PROMPT, [4]], "chain", 12, None)
    assert len(generate_batch(pair, [PROMPT], "chain", 12, None)) == 1


def test_a_layer_that_is_tied_to_one_batch_is_refused():
    target = tiny_model()

    def adapters_of_rows(layer, inputs):
        if len(inputs[0]) != 1:
            raise ValueError("Length of `adapter_names` should be the same as the number of inputs")

    target.base_model.layers[0].mlp.register_forward_pre_hook(adapters_of_rows)
    pair = ModelPair(target)
    assert generate(pair, PROMPT, "autoregressive", 4, None).tokens == reference(target, PROMPT, 4, None)
    with pytest.raises(DynatreeError, match=r"refuses a batch of other tokens .*adapter_names"):
        generate_batch(pair, [PROMPT, [4]], "autoregressive", 4, None)


def test_modules_that_change_are_measured_again():
    target, calls = tiny_model(), []
    target.lm_head.register_forward_hook(lambda *_: calls.append(None))
    pair = ModelPair(target, disturbed(tiny_model()))
    counts = []
    for _ in range(3):
        before = len(calls)
        rounds = generate(pair, PROMPT, "chain", 12, None).stats.rounds
        counts.append(len(calls) - before - rounds - 1)
    assert counts[0] > 0 and counts[1:] == [0, 0]
    biased_by_row(target)
    with pytest.raises(DynatreeError, match="depend on each other"):
        generate(pair, PROMPT, "chain", 12, None)


def test_a_weight_with_an_operation_of_its_own_is_not_read_as_numbers():
    with pytest.raises(DynatreeError, match="quantized already"):
        quantize(rounded(tiny_model()))
    model = rounded(tiny_model())
    assert type(use_small_batches(model).base_model.layers[0].mlp.up_proj) is nn.Linear
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.data.as_subclass(OneScale), False)
    with pytest.raises(DynatreeError, match="its weight alone is not the head"):
        trim_vocabulary(model, range(9))


def test_a_quantized_draft_only_proposes():
    model = tiny_model()
    pair = ModelPair(model, quantized(tiny_model()))
    for method in TREES:
        assert generate(pair, PROMPT, method, 12, None).tokens == reference(model, PROMPT, 12, None)
