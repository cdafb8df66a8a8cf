"""Settings of a generation config: applied, without effect, or refused by name."""

import copy

import pytest
import torch
from transformers import GenerationConfig

from dynatree import DynatreeError, ModelPair, custom_generate, generate, generate_batch
from dynatree.models.generation_config import (
    APPLIED,
    MORE_WARPERS,
    NEUTRAL,
    RULES,
    WARPERS,
    WITHOUT_EFFECT,
    check_generation_config,
)
from tests.support.models import disturbed, tiny_model

REFUSED = {
    "guidance_scale": 1.5,
    "token_healing": True,
    "num_beams": 2,
    "num_beam_groups": 2,
    "num_return_sequences": 2,
    "penalty_alpha": 0.5,
    "dola_layers": "low",
    "constraints": ["x"],
    "force_words_ids": [[4]],
    "cache_implementation": "quantized",
    "prompt_lookup_num_tokens": 3,
    "assistant_early_exit": 1,
    "use_mtp": True,
    "speculation_type": "dflash",
}


def test_every_field_of_transformers_is_applied_neutral_or_refused():
    fields = {name for name in vars(GenerationConfig()) if not name.startswith("_")}
    applied = APPLIED | WARPERS | NEUTRAL | MORE_WARPERS.keys() | RULES.keys()
    assert fields - applied == REFUSED.keys() & fields
    assert (REFUSED.keys() | RULES.keys()) - fields == set(), "transformers has dropped these"
    check_generation_config(GenerationConfig(**WITHOUT_EFFECT))


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_that_is_not_applied_is_refused_by_name(name):
    settings = GenerationConfig()
    setattr(settings, name, REFUSED[name])
    with pytest.raises(DynatreeError, match=f"needs {name}="):
        check_generation_config(settings)


@pytest.mark.parametrize("name", ["token_healing", "dola_layers"])
def test_all_ways_to_decode_refuse_the_settings_of_a_checkpoint(name):
    target = copy.deepcopy(tiny_model())
    setattr(target.generation_config, name, REFUSED[name])
    pair = ModelPair(target)
    with pytest.raises(DynatreeError, match=name):
        generate(pair, [5, 9], "autoregressive", 4)
    with pytest.raises(DynatreeError, match=name):
        generate_batch(pair, [[5, 9], [4]], "autoregressive", 4)


def test_a_setting_of_the_call_overrides_that_of_the_checkpoint():
    target = copy.deepcopy(tiny_model())
    target.generation_config.repetition_penalty = 1.3
    settings = {"max_new_tokens": 8, "pad_token_id": 0, "do_sample": False, "repetition_penalty": 1.0}
    ids = torch.tensor([[5, 9]])
    found = target.generate(ids, custom_generate=custom_generate(), **settings)
    assert torch.equal(found, target.generate(ids, **settings))


# generation_config.json as published, without token ids
STOCK = {
    "qwen2.5": {"do_sample": True, "repetition_penalty": 1.05, "temperature": 0.7, "top_p": 0.8, "top_k": 20},
    "llama3": {"do_sample": True, "temperature": 0.6, "top_p": 0.9},
    "gemma3": {"cache_implementation": "hybrid", "do_sample": True, "top_k": 64, "top_p": 0.95},
    "phi4": {"do_sample": True, "temperature": 0.8, "top_k": 50, "top_p": 0.95},
    "gpt_oss": {"do_sample": True},
    "mistral": {"max_length": 64},
}


@pytest.mark.parametrize("name", STOCK)
def test_the_generation_config_of_a_stock_model_is_applied(name):
    target = copy.deepcopy(tiny_model())
    target.generation_config = GenerationConfig(**STOCK[name], eos_token_id=[3, 7], pad_token_id=0)
    pair, ids = ModelPair(target, disturbed(target)), torch.tensor([[5, 9, 2, 5, 9]])
    for method in ("autoregressive", "chain", "cost_aware"):
        how = custom_generate(pair.draft, method)
        greedy = target.generate(ids, custom_generate=how, max_new_tokens=24, do_sample=False)
        assert torch.equal(greedy, target.generate(ids, max_new_tokens=24, do_sample=False)), method
        assert generate(pair, ids, method, 24).tokens == greedy[0, 5:].tolist(), method
    drawn = []
    for method in ("autoregressive", "chain"):
        torch.manual_seed(1)
        drawn.append(target.generate(ids, custom_generate=custom_generate(pair.draft, method), max_new_tokens=24))
    assert torch.equal(*drawn)


def test_a_minimum_length_has_no_effect_on_a_text_without_end():
    target = copy.deepcopy(tiny_model())
    target.generation_config.min_new_tokens = 9
    assert len(generate(ModelPair(target), [5, 9], "autoregressive", 4, eos_token_id=None).tokens) == 4


def test_more_warpers_of_a_checkpoint_apply_where_tokens_are_drawn():
    target = copy.deepcopy(tiny_model())
    target.generation_config.min_p = 0.999
    greedy = generate(ModelPair(target), [5, 9], "autoregressive", 4).tokens
    assert generate(ModelPair(target), [5, 9], "autoregressive", 4, temperature=2.0).tokens == greedy


def test_settings_in_the_configuration_of_an_old_checkpoint_count():
    target = copy.deepcopy(tiny_model())
    target.config.no_repeat_ngram_size = 2
    with pytest.raises(DynatreeError, match="no_repeat_ngram_size"):
        generate(ModelPair(target), [5, 9], "autoregressive", 4)
