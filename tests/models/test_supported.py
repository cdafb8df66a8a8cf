"""Wrapped, hooked, adapted and offloaded models."""

import copy
from types import SimpleNamespace

import pytest
import torch
from accelerate import cpu_offload
from torch import nn
from transformers import AttentionInterface, LlamaForCausalLM

from dynatree import DynatreeError, ModelPair, custom_generate, generate, generate_batch
from dynatree.kvcompress import CompressedCache, compress
from dynatree.models.int8_weight_only import quantize
from dynatree.models.trimmed_head import trim_vocabulary
from tests.support.models import VOCABULARY, disturbed, reference, tiny_model

PROMPT = [5, 9, 2]
METHODS = ["autoregressive", "chain", "cost_aware"]


class Adapted(nn.Module):
    """A model inside a wrapper with the interface of a ``PeftModel``."""

    def __init__(self, model, kind: str):
        super().__init__()
        self.base_model = nn.ModuleDict({"model": model})
        self.config, self.active_adapters = model.config, ["default"]
        self.peft_config = {"default": SimpleNamespace(peft_type=SimpleNamespace(value=kind))}

    def get_base_model(self):
        return self.base_model["model"]


def test_an_adapter_of_layers_is_the_model_inside():
    model = tiny_model()
    adapted = Adapted(model, "LORA")
    pair = ModelPair(adapted, Adapted(disturbed(model), "IA3"))
    assert generate(pair, PROMPT, "chain", 12, None).tokens == reference(model, PROMPT, 12, None)
    with compress(adapted, "sliding_window", budget=4) as compression:
        model(torch.tensor([PROMPT * 3]))
    assert compression.cache.entries == [[4, 4]] * 2
    assert CompressedCache(adapted, "full").config is model.config


@pytest.mark.parametrize("kind", ["PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING", "XLORA", "ADAPTION_PROMPT"])
def test_an_adapter_around_the_layers_is_refused_by_name(kind):
    adapted = Adapted(tiny_model(), kind)
    with pytest.raises(DynatreeError, match=f"adapter 'default' of type {kind}"):
        ModelPair(adapted)
    with pytest.raises(DynatreeError, match=kind), compress(adapted, "full"):
        pass


def test_an_adapter_that_begins_at_tokens_of_the_prompt_is_refused():
    adapted = Adapted(tiny_model(), "LORA")
    adapted.peft_config["default"].alora_invocation_tokens = [4, 5]
    with pytest.raises(DynatreeError, match=r"begins at tokens of the prompt \(aLoRA\)"):
        ModelPair(adapted)


def test_inputs_that_an_adapter_prepares_are_refused():
    model = tiny_model()
    how, ids = custom_generate(method="autoregressive"), torch.tensor([PROMPT])
    settings = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0, "custom_generate": how}
    model.prepare_inputs_for_generation = model.prepare_inputs_for_generation  # as PEFT leaves it behind
    assert model.generate(ids, **settings)[0, 3:].tolist() == reference(model, PROMPT, 4)
    model.prepare_inputs_for_generation = lambda *args, **inputs: inputs
    with pytest.raises(DynatreeError, match="prepares its inputs in its own way"):
        model.generate(ids, **settings)


class Negated(LlamaForCausalLM):
    """A model that changes its logits after the head."""

    def forward(self, *args, **inputs):
        out = super().forward(*args, **inputs)
        out.logits = -out.logits
        return out


def test_what_a_forward_pass_would_skip_is_refused():
    model = tiny_model()
    with pytest.raises(DynatreeError, match=r"a forward\(\) of its own"):
        generate(ModelPair(Negated(model.config)), PROMPT, "autoregressive", 4)
    for register in (model.register_forward_hook, model.register_forward_pre_hook):
        hook = register(lambda *_: None)
        with pytest.raises(DynatreeError, match="has forward hooks"):
            generate(ModelPair(model), PROMPT, "autoregressive", 4)
        hook.remove()
    model.forward = model.forward
    with pytest.raises(DynatreeError, match=r"a forward\(\) of its own"):
        generate(ModelPair(model), PROMPT, "autoregressive", 4)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_other_wrappers_are_refused(wrap):
    with pytest.raises(DynatreeError, match="not a model of transformers; give the model that it wraps"):
        ModelPair(wrap(tiny_model()))


def test_a_model_without_a_head_is_refused():
    with pytest.raises(DynatreeError, match="has no output head"):
        ModelPair(tiny_model().base_model)


def test_an_attention_of_its_own_is_refused():
    AttentionInterface.register("doubled", lambda *args, **kwargs: None)
    model = tiny_model()
    model.config._attn_implementation = "doubled"
    with pytest.raises(DynatreeError, match="uses the attention 'doubled'"):
        generate(ModelPair(model), PROMPT, "autoregressive", 4)
    with pytest.raises(DynatreeError, match="uses the attention 'doubled'"), compress(model, "full"):
        pass


def test_a_model_on_several_devices_decodes():
    model = tiny_model()
    model.hf_device_map = {"model.layers.0": "cuda:0", "model.layers.1": "cuda:1", "lm_head": "cpu"}
    assert generate(ModelPair(model), PROMPT, "autoregressive", 4, None).tokens == reference(model, PROMPT, 4, None)


@pytest.mark.parametrize("method", METHODS)
def test_hooks_of_the_head_have_their_effect(method):
    model = tiny_model()
    draft = disturbed(model)
    bias = torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(0)) * 5
    model.lm_head.register_forward_hook(lambda head, inputs, logits: logits + bias)
    draft.lm_head.register_forward_pre_hook(lambda head, inputs: (inputs[0] * 0.9,))
    expected = [reference(model, prompt, 12, None) for prompt in (PROMPT, [4])]
    pair = ModelPair(model, draft)
    assert generate(pair, PROMPT, method, 12, None).tokens == expected[0]
    assert [out.tokens for out in generate_batch(pair, [PROMPT, [4]], method, 12, None)] == expected


@pytest.mark.parametrize("method", METHODS)
def test_offloaded_weights_go_through_their_modules(method):
    model = tiny_model()
    draft = disturbed(model)
    expected = reference(model, PROMPT, 12, None)
    pair = ModelPair(cpu_offload(model, execution_device="cpu"), cpu_offload(draft, execution_device="cpu"))
    assert model.lm_head.weight.device.type == "meta"
    assert generate(pair, PROMPT, method, 12, None).tokens == expected
    assert generate_batch(pair, [PROMPT, [4]], method, 12, None)[0].tokens == expected


def test_weights_that_are_not_loaded_are_refused():
    with torch.device("meta"):
        model = tiny_model()
    with pytest.raises(DynatreeError, match="weights of the LlamaForCausalLM are not loaded"):
        generate(ModelPair(model), PROMPT, "autoregressive", 4)


def test_a_trimmed_head_with_hooks_goes_through_them():
    model = tiny_model()
    draft = trim_vocabulary(copy.deepcopy(model), range(40))
    calls = []
    draft.lm_head.register_forward_hook(lambda *_: calls.append(None))
    assert generate(ModelPair(model, draft), PROMPT, "chain", 12, None).tokens == reference(model, PROMPT, 12, None)
    assert calls


def test_a_head_that_is_more_than_its_weight_is_not_trimmed():
    hooked, quantized = tiny_model(), tiny_model()
    hooked.lm_head.register_forward_hook(lambda *_: None)
    torch.ao.quantization.quantize_dynamic(quantized, {nn.Linear}, inplace=True)
    for model in (hooked, quantized):
        with pytest.raises(DynatreeError, match="its weight alone is not the head"):
            trim_vocabulary(model, range(9))


def test_hooked_layers_are_not_quantized_past_their_hooks():
    model = tiny_model()
    model.base_model.layers[0].mlp.up_proj.register_forward_hook(lambda *_: None)
    with pytest.raises(DynatreeError, match="up_proj is adapted, hooked or quantized already"):
        quantize(model)
