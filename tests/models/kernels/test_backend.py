"""Models with our kernels decode what stock models decode."""

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dynatree import DynatreeError, ModelPair, generate, generate_batch
from dynatree.models.kernels.backend import faster_in_small_batches, use_small_batches
from dynatree.models.kernels.fused_model import FusedLlamaModel
from dynatree.models.kernels.layers import MAX_TOKENS, SmallBatchLinear
from dynatree.models.runner import ModelRunner
from dynatree.models.trimmed_head import trim_vocabulary
from tests.support.models import disturbed, reference, tiny_model

PROMPT = [5, 9, 2, 7]
IDS = torch.tensor([PROMPT])


def ours(model):
    return use_small_batches(copy.deepcopy(model))


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@pytest.mark.parametrize("method", ["autoregressive", "chain", "dynatree", "cost_aware"])
def test_output_stays_that_of_hugging_face(kind, method):
    stock = tiny_model(kind, 1)
    expected = reference(stock, PROMPT, 30, None)
    target = ours(stock)
    pair = ModelPair(target, use_small_batches(disturbed(stock, 0.05)))
    assert generate(pair, PROMPT, method, 30, None).tokens == expected
    assert reference(target, PROMPT, 30, None) == expected


def test_batches_stay_exact():
    stock = tiny_model("llama", 1)
    pair = ModelPair(ours(stock), use_small_batches(disturbed(stock, 0.05)))
    prompts = [PROMPT, [3, 8], [11] * 9]
    for prompt, out in zip(prompts, generate_batch(pair, prompts, "dynatree", 20, None), strict=True):
        assert out.tokens == reference(stock, prompt, 20, None)


def test_a_trimmed_draft_stays_exact():
    stock = tiny_model("llama", 1)
    draft = use_small_batches(trim_vocabulary(disturbed(stock, 0.05), list(range(0, stock.config.vocab_size, 2))))
    out = generate(ModelPair(stock, draft), PROMPT, "dynatree", 30, None)
    assert out.tokens == reference(stock, PROMPT, 30, None)
    assert out.stats.accepted > 0


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_logits_and_gradients_are_those_of_the_stock_model(kind):
    stock = tiny_model(kind, 1)
    model = ours(stock)
    long = torch.arange(MAX_TOKENS + 9)[None] % stock.config.vocab_size
    for ids in (IDS, IDS.repeat(3, 1), long):
        with torch.inference_mode():
            torch.testing.assert_close(model(ids).logits, stock(ids).logits, atol=1e-4, rtol=1e-4)
    for one in (stock, model):
        one(IDS, labels=IDS).loss.backward()
    for mine, theirs in zip(model.parameters(), stock.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_layers_of_llama_are_fused_and_tied_weights_stay_tied():
    config = LlamaConfig(
        vocab_size=60, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    model = use_small_batches(LlamaForCausalLM(config).eval())
    fused = [type(module).__name__ for module in model.modules() if type(module).__name__.startswith("Fused")]
    assert fused == ["FusedLlamaModel", *["FusedLlamaDecoderLayer"] * 2]
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.num_parameters() == LlamaForCausalLM(config).num_parameters()


@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(4, 2, 8), (6, 3, 16), (3, 1, 20), (2, 2, 64)])
def test_one_call_runs_all_layers_of_a_request(heads, kv_heads, head_dim, monkeypatch):
    config = LlamaConfig(
        vocab_size=60, hidden_size=heads * head_dim, intermediate_size=40, num_hidden_layers=3,
        num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=head_dim,
    )  # fmt: skip
    torch.manual_seed(heads)
    stock = LlamaForCausalLM(config).eval()
    target, widths = ours(stock), list[int]()
    decode = FusedLlamaModel._decode

    def spy(self, hidden, *arguments):
        widths.append(hidden.shape[1])
        return decode(self, hidden, *arguments)

    monkeypatch.setattr(FusedLlamaModel, "_decode", spy)
    for method in ("autoregressive", "dynatree"):
        out = generate(ModelPair(target, disturbed(stock, 0.02)), PROMPT, method, 40, None)
        assert out.tokens == reference(stock, PROMPT, 40, None)
        assert widths == [new for new, _ in out.stats.passes["target"][1:]]  # the first reads the prompt
        widths.clear()


@pytest.mark.parametrize("change", ["hook on a layer", "replaced layer", "training", "output_hidden_states"])
def test_layers_run_one_by_one_where_something_was_changed(change, monkeypatch):
    monkeypatch.setattr(FusedLlamaModel, "_decode", None)
    outputs: list[torch.Tensor] = []
    for model in (tiny_model("llama", 1), ours(tiny_model("llama", 1))):
        if change == "hook on a layer":
            model.model.layers[0].register_forward_hook(_negated)
        elif change == "replaced layer":
            model.model.layers[0] = tiny_model("llama", 2).model.layers[0]
        elif change == "training":
            model.train()
        else:
            model.config.output_hidden_states = True
        runner = ModelRunner(model, "target", 20)
        with torch.inference_mode():
            runner.forward(PROMPT, range(4))
            outputs.append(runner.forward([3], [4]))
    torch.testing.assert_close(*outputs, atol=1e-4, rtol=1e-4)


def test_a_layer_that_computes_something_else_is_not_fused():
    model = tiny_model("llama", 1)
    model.model.layers[1].mlp.act_fn = torch.nn.GELU()
    expected = reference(model, PROMPT, 20, None)
    assert reference(use_small_batches(model), PROMPT, 20, None) == expected
    assert [type(layer).__name__ for layer in model.model.layers] == ["FusedLlamaDecoderLayer", "LlamaDecoderLayer"]


@pytest.mark.parametrize("name", ["self_attn.k_proj", "mlp.up_proj", "mlp", "input_layernorm", "self_attn"])
def test_hooks_on_bypassed_modules_still_run(name):
    model = ours(tiny_model("llama", 1))
    model.model.layers[0].get_submodule(name).register_forward_hook(_negated)
    stock = tiny_model("llama", 1)
    stock.model.layers[0].get_submodule(name).register_forward_hook(_negated)
    with torch.inference_mode():
        torch.testing.assert_close(model(IDS).logits, stock(IDS).logits, atol=1e-4, rtol=1e-4)


def _negated(module, inputs, output):
    return (-output[0], *output[1:]) if isinstance(output, tuple) else -output


def test_replaced_and_moved_weights_are_used():
    stock, model = tiny_model("llama", 1), ours(tiny_model("llama", 1))
    for one in (stock, model):
        layer = one.model.layers[0]
        layer.self_attn.v_proj.weight = torch.nn.Parameter(-layer.self_attn.v_proj.weight)
        layer.mlp.down_proj.weight.data = layer.mlp.down_proj.weight.data * 2
        one.model.layers[1].mlp.gate_proj = torch.nn.Sequential(one.model.layers[1].mlp.gate_proj, torch.nn.Tanh())
    with torch.inference_mode():
        torch.testing.assert_close(model(IDS).logits, stock(IDS).logits, atol=1e-4, rtol=1e-4)


def test_a_model_can_be_copied_converted_and_saved(tmp_path):
    stock = tiny_model("llama", 1)
    model = ours(stock)
    with torch.inference_mode():
        expected = stock(IDS).logits
        torch.testing.assert_close(copy.deepcopy(model)(IDS).logits, expected, atol=1e-4, rtol=1e-4)
        model.save_pretrained(tmp_path)
        torch.testing.assert_close(LlamaForCausalLM.from_pretrained(tmp_path)(IDS).logits, expected)
        torch.testing.assert_close(model.double()(IDS).logits.float(), expected, atol=1e-4, rtol=1e-4)


def test_other_formats_are_refused():
    with pytest.raises(DynatreeError, match="needs float32 on a CPU"):
        use_small_batches(tiny_model("llama", 1).to(torch.bfloat16))


def test_the_choice_is_measured_and_changes_nothing():
    model = tiny_model("llama", 1)
    assert isinstance(faster_in_small_batches(model), bool)
    assert not any(isinstance(module, SmallBatchLinear) for module in model.modules())
    assert not faster_in_small_batches(tiny_model("llama", 1).to(torch.bfloat16))
