"""An int8 draft proposes nearly what the float32 draft does, and never changes the output."""

import copy

import pytest
import torch
from torch import nn

from dynatree import DynatreeError, ModelPair, generate, load_pair
from dynatree.data.random_model import save_tiny_checkpoint
from dynatree.models.linear.int8_dynamic import IntegerLinear, IntegerTrimmedHead, quantize_dynamic, supports_int8
from dynatree.models.linear.packed import PackedLinear, PackedTrimmedHead
from dynatree.models.linear.replace import unlisted_bytes
from dynatree.models.trimmed_head import trim_vocabulary
from tests.support.models import disturbed, reference, tiny_model

PROMPT = [5, 9, 2, 7]

pytestmark = pytest.mark.skipif(not supports_int8(tiny_model()), reason="this build of torch does not multiply int8")


@pytest.fixture
def folders(tmp_path):
    for name, noise in (("target", 0.0), ("draft", 0.05)):
        save_tiny_checkpoint(tmp_path / name, "llama", seed=1, layers=2, noise=noise)
    return tmp_path / "target", tmp_path / "draft"


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 64), (3, 64), (2, 4, 64), (300, 64)])
def test_a_layer_multiplies_by_its_rounded_weight(bias, shape):
    torch.manual_seed(0)
    linear = nn.Linear(64, 48, bias=bias)
    scales = linear.weight.abs().amax(dim=1, keepdim=True) / 127
    rounded = (linear.weight / scales).round() * scales
    hidden = torch.randn(shape)
    hidden[..., 0] *= 100  # as activations of language models are
    with torch.inference_mode():
        output = IntegerLinear(linear)(hidden)
        assert output.shape == (*shape[:-1], 48)
        expected = nn.functional.linear(hidden, rounded, linear.bias)
        assert (output - expected).abs().max() < 1e-3 * expected.abs().max()


def test_rows_do_not_disturb_each_other():
    layer = IntegerLinear(nn.Linear(64, 48))
    hidden = torch.randn(4, 64)
    with torch.inference_mode():
        alone = layer(hidden[:1])
        hidden[3] *= 1e4
        assert torch.allclose(layer(hidden)[:1], alone, atol=1e-6)


def test_a_row_of_zeros_gives_the_bias():
    layer = IntegerLinear(nn.Linear(8, 16))
    with torch.inference_mode():
        assert torch.allclose(layer(torch.zeros(1, 8)), layer.bias)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@pytest.mark.parametrize("method", ["chain", "dynatree", "cost_aware"])
def test_output_stays_that_of_hugging_face(kind, method):
    target = tiny_model(kind, 1)
    pair = ModelPair(target, quantize_dynamic(disturbed(target, 0.02)))
    out = generate(pair, PROMPT, method, 40, None)
    assert out.tokens == reference(target, PROMPT, 40, None)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_proposals_are_close_to_those_in_float32(kind):
    draft = tiny_model(kind, 1)
    integers = quantize_dynamic(copy.deepcopy(draft))
    ids = torch.randint(0, 48, (1, 64), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, given = draft(ids).logits.softmax(-1), integers(ids).logits.softmax(-1)
    assert (expected - given).abs().sum(-1).mean() < 0.1
    assert (expected.argmax(-1) == given.argmax(-1)).float().mean() > 0.9


def test_a_trimmed_draft_stays_exact():
    target = tiny_model("llama", 1)
    draft = trim_vocabulary(disturbed(target, 0.02), list(range(0, target.config.vocab_size, 2)))
    quantize_dynamic(draft)
    assert isinstance(draft.get_output_embeddings(), IntegerTrimmedHead)
    out = generate(ModelPair(target, draft), PROMPT, "dynatree", 30, None)
    assert out.tokens == reference(target, PROMPT, 30, None)
    assert out.stats.accepted > 0


def test_weights_are_a_quarter():
    draft = tiny_model("llama", 1)
    floats = sum(one.weight.numel() for one in draft.modules() if isinstance(one, nn.Linear))
    assert unlisted_bytes(quantize_dynamic(draft)) == floats


def test_other_formats_are_refused():
    with pytest.raises(DynatreeError, match="needs a draft in float32 on an x86 CPU"):
        quantize_dynamic(tiny_model("llama", 1).to(torch.bfloat16))


def test_only_the_draft_is_quantized(folders):
    pair = load_pair(*folders, device="cpu", dtype="float32", backend="packed", draft_weights="int8")
    assert not any(isinstance(module, IntegerLinear) for module in pair.target.modules())
    assert any(isinstance(module, PackedLinear) for module in pair.target.modules())
    assert not any(isinstance(module, PackedLinear | PackedTrimmedHead) for module in pair.draft.modules())
    assert (
        generate(pair, "abc", "dynatree", 20, None).tokens == generate(pair, "abc", "autoregressive", 20, None).tokens
    )


def test_the_choice_is_measured(folders, monkeypatch):
    for verdict in (True, False):
        monkeypatch.setattr("dynatree.models.loading.faster", lambda *_, verdict=verdict, **__: verdict)
        pair = load_pair(*folders, device="cpu", dtype="float32", backend="packed", draft_weights="auto")
        kind = IntegerLinear if verdict else PackedLinear
        assert any(isinstance(module, kind) for module in pair.draft.modules())


def test_an_unknown_kind_of_weights_is_refused(folders):
    with pytest.raises(DynatreeError, match="draft_weights must be one of same, int8, auto, not 'int4'"):
        load_pair(*folders, draft_weights="int4")
