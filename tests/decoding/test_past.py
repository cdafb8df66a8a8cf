"""Entries of an earlier text that a request goes on from."""

import functools

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from dynatree import DynatreeError, ModelPair, Past, custom_generate, generate, use_graphs
from dynatree.decoding.past import common_length
from tests.support.models import disturbed, tiny_model

METHODS = [("cost_aware", {}), ("dynatree", {}), ("chain", {"length": 3}), ("autoregressive", {})]
FIRST, TURN, OTHER = [5, 9, 2, 7, 11, 4], [8, 1, 6], [5, 9, 2, 30]
SETTINGS = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}


SIZES = {
    "vocab_size": 48,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "eos_token_id": 3,
}


@functools.cache
def pair_of(kind: str) -> ModelPair:
    torch.manual_seed(1)
    if kind == "mistral":
        target = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=16)).eval()
    elif kind == "dynamic":
        scaling = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
        target = LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=scaling)).eval()
    else:
        target = tiny_model(kind, 1)
    return ModelPair(target, disturbed(target, 0.05))


def decode(pair, prompt, method, options, past=None):
    return generate(pair, prompt, method, 12, eos_token_id=None, past=past, **options)


@pytest.mark.parametrize(
    ("kind", "method", "options"),
    [*(("llama", *one) for one in METHODS), ("gpt_neox", "cost_aware", {}), ("mistral", "chain", {"length": 3})],
)
def test_each_turn_reads_only_what_is_new(kind, method, options):
    pair, past, text = pair_of(kind), Past(), list(FIRST)
    for turn in range(3):
        out = decode(pair, text, method, options, past)
        assert out.tokens == decode(pair, text, method, options).tokens
        known = out.stats.passes["target"][0][1]
        assert known == (len(text) - len(TURN) - 1 if turn else 0)
        assert out.stats.passes["target"][0][0] == len(text) - known
        if method in ("chain", "dynatree"):
            read, held = out.stats.passes["draft"][0]
            assert read + held == len(text) and bool(held) == bool(turn)
        text += [*out.tokens, *TURN]


@pytest.mark.parametrize(("method", "options"), METHODS[::2])
def test_another_text_keeps_the_common_prefix(method, options):
    pair, past = pair_of("llama"), Past()
    for text, known in ((FIRST, 0), (OTHER, 3), (OTHER, 3), (FIRST[:2], 1), ([33], 0), (OTHER, 0)):
        out = decode(pair, text, method, options, past)
        assert out.tokens == decode(pair, text, method, options).tokens
        assert out.stats.passes["target"][0] == (len(text) - known, known)


def test_recorded_forward_passes_go_on_from_a_past():
    models = pair_of("llama").models
    pair, past, text = use_graphs(ModelPair(models["target"], models["draft"]), lambda run: run), Past(), list(FIRST)
    for turn in range(2):
        out = decode(pair, text, "chain", {"length": 3}, past)
        assert out.tokens == decode(pair_of("llama"), text, "autoregressive", {}).tokens
        assert bool(out.stats.passes["target"][0][1]) == bool(turn)
        text += [*out.tokens, *TURN]


def test_a_window_that_has_dropped_entries_reads_the_text_again_unless_it_goes_on():
    pair, past, text = pair_of("mistral"), Past(), list(FIRST) * 4
    assert pair.target.config.sliding_window < len(text)
    for prompt, goes_on in ((text, False), ([*text[:9], *TURN], False)):
        out = decode(pair, prompt, "chain", {}, past)
        assert out.tokens == decode(pair, prompt, "chain", {}).tokens
        assert bool(out.stats.passes["target"][0][1]) == goes_on
    prompt = [*prompt, *out.tokens, *TURN]
    out = decode(pair, prompt, "chain", {}, past)
    assert out.tokens == decode(pair, prompt, "chain", {}).tokens
    assert out.stats.passes["target"][0][1] == len(prompt) - len(TURN) - 1


@pytest.mark.parametrize("options", [{"target_cache": "streaming_llm:sinks=2,window=20"}, {"exact": "strict"}])
def test_without_ordinary_entries_every_prompt_is_read(options):
    pair, past = pair_of("llama"), Past()
    for _ in range(2):
        out = decode(pair, FIRST, "autoregressive", options, past)
        assert out.stats.passes["target"][0] == (len(FIRST), 0)


def test_changing_frequencies_and_other_models_start_anew():
    past = Past()
    for kind in ("llama", "gpt_neox", "llama", "dynamic", "dynamic"):
        pair = pair_of(kind)
        out = decode(pair, FIRST, "autoregressive", {}, past)
        assert out.stats.passes["target"][0] == (len(FIRST), 0)
        assert out.tokens == decode(pair, FIRST, "autoregressive", {}).tokens


@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "mistral"])
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_a_cache_goes_back_and_forth_between_both_ways_of_generating(kind, penalty):
    target, draft = pair_of(kind).models.values()
    settings = SETTINGS | {"repetition_penalty": penalty}
    how = custom_generate(draft, "chain", length=3)
    text, cache = torch.tensor([FIRST]), DynamicCache(config=target.config)
    for ours in (True, False, True, True):
        shown = {"attention_mask": torch.ones_like(text)}
        expected = target.generate(text, **settings, **shown)
        found = target.generate(
            text,
            **shown,
            custom_generate=how if ours else None,
            past_key_values=cache,
            return_dict_in_generate=True,
            **settings,
        )
        assert torch.equal(found.sequences, expected)
        assert found.past_key_values is cache
        assert cache.get_seq_length() == expected.shape[1] - 1
        text = torch.cat((expected, torch.tensor([TURN])), dim=1)
    assert not any(torch.is_inference(keys) for keys, *_ in cache if keys is not None)


def test_the_returned_cache_has_the_entries_of_transformers():
    target = pair_of("llama").target
    settings = SETTINGS | {"return_dict_in_generate": True, "eos_token_id": 17}
    stop = int(target.generate(torch.tensor([FIRST]), **SETTINGS)[0, 9])
    for settings["eos_token_id"] in (None, stop):
        expected = target.generate(torch.tensor([FIRST]), **settings).past_key_values
        found = target.generate(
            torch.tensor([FIRST]), custom_generate=custom_generate(disturbed(target, 0.01)), **settings
        ).past_key_values
        for ours, theirs in zip(found.layers, expected.layers, strict=True):
            assert torch.allclose(ours.keys, theirs.keys, atol=1e-5)
            assert torch.allclose(ours.values, theirs.values, atol=1e-5)


def test_a_batch_and_a_call_without_a_cache_return_none():
    target = pair_of("llama").target
    for ids, more in (([FIRST, FIRST[::-1]], {}), ([FIRST], {"use_cache": False})):
        out = target.generate(
            torch.tensor(ids), custom_generate=custom_generate(), return_dict_in_generate=True, **SETTINGS, **more
        )
        assert out.past_key_values is None


@pytest.mark.parametrize(
    ("ids", "how", "message"),
    [
        ([FIRST, FIRST], {}, "one prompt without padding"),
        ([FIRST], {"target_cache": "streaming_llm:sinks=2,window=20"}, "leave out target_cache and exact"),
        ([FIRST], {"exact": "strict"}, "leave out target_cache and exact"),
    ],
)
def test_a_cache_that_cannot_be_extended_is_refused(ids, how, message):
    target = pair_of("llama").target
    with pytest.raises(DynatreeError, match=message):
        target.generate(
            torch.tensor(ids),
            custom_generate=custom_generate(method="autoregressive", **how),
            past_key_values=DynamicCache(config=target.config),
            **SETTINGS,
        )


def test_the_common_length_is_that_of_equal_tokens():
    assert common_length([1, 2, 3], [1, 2, 4, 5]) == 2
    assert common_length([1, 2], [1, 2, 4]) == common_length([1, 2, 4], [1, 2]) == 2
    assert common_length([], [1]) == 0
