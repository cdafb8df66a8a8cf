"""Scaled rotary embeddings: positions served, and frequencies that depend on the largest position."""

import copy

import pytest
import torch
from transformers import Gemma3TextConfig, LlamaConfig

from dynatree import DynatreeError, ModelPair, custom_generate, generate, generate_batch, use_graphs
from dynatree.data.random_model import random_model
from dynatree.models import tiny_config
from dynatree.models.positions import served_positions, switching_length, uniform_depth
from dynatree.models.proof import quiet
from tests.support.models import VOCABULARY, disturbed, reference, tiny_model

SHORT = 24
SCALING = {
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 4.0},
    "llama3": {"factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "longrope": {"factor": 4.0, "short_factor": [1.0] * 4, "long_factor": [1.5, 2.0, 3.0, 4.0]},
}
CHANGING = ("dynamic", "longrope")


def scaled(kind: str):
    sizes = {"vocab_size": VOCABULARY, "max_position_embeddings": SHORT, "num_hidden_layers": 2}
    rotary = {"rope_type": kind, "rope_theta": 1e4} | SCALING[kind]
    return random_model("llama", 0, intermediate_size=64, rope_parameters=rotary, **sizes).eval()


def text(length: int) -> list[int]:
    return [1 + index % 7 for index in range(length)]


@pytest.mark.parametrize("kind", SCALING)
@pytest.mark.parametrize(("prompt", "new"), [(4, 12), (20, 20), (SHORT - 1, 6), (SHORT, 6), (30, 12)])
def test_output_equals_hugging_face_beyond_the_unscaled_positions(kind, prompt, new, tmp_path, monkeypatch):
    """The cost-aware policy measures forward passes over longer texts during its first request."""
    monkeypatch.setenv("DYNATREE_CACHE", str(tmp_path))
    model = scaled(kind)
    expected = reference(copy.deepcopy(model), text(prompt), new, None)
    pair = ModelPair(model, disturbed(model, 0.01))
    for method in ("autoregressive", "chain", "fixed_tree", "cost_aware"):
        out = generate(pair, text(prompt), method, new, None)
        assert out.tokens == expected, method


def scaled_by_layer_type(kind: str):
    rotary = {"sliding_attention": {"rope_type": "default"}, "full_attention": {"rope_type": kind} | SCALING[kind]}
    for one in rotary.values():
        one["rope_theta"] = 1e4
    longrope = {"short_factor": [1.0] * 128, "long_factor": [1.5] * 128, "original_max_position_embeddings": 4096}
    rotary["full_attention"] |= longrope if kind == "longrope" else {}
    return Gemma3TextConfig(rope_parameters=rotary, layer_types=["sliding_attention", "full_attention"] * 13)


def test_positions_of_layers_that_are_scaled_differently():
    for kind in SCALING:
        config = tiny_config.tiny_config(scaled_by_layer_type(kind))
        assert switching_length(config) == (SHORT if kind in CHANGING else None)
        positions = config.max_position_embeddings
        assert served_positions(config) == {"dynamic": 4 * SHORT}.get(kind, positions)


@pytest.mark.parametrize("kind", CHANGING)
def test_layers_of_one_type_may_be_scaled_alone(kind):
    config = tiny_config.tiny_config(scaled_by_layer_type(kind))
    with quiet():
        model = tiny_config.tiny_model(config)
        expected = reference(copy.deepcopy(model), text(20), 12, None)
        pair = ModelPair(model, disturbed(model, 0.01))
        reference(model, text(30), 8, None)  # transformers leaves the frequencies of a long text
        for method in ("chain", "fixed_tree"):
            assert generate(pair, text(20), method, 12, None).tokens == expected, method


@pytest.mark.parametrize("kind", CHANGING)
def test_frequencies_of_the_model_stay_as_they_were(kind):
    model = scaled(kind)
    rotary = model.base_model.rotary_emb
    reference(model, text(30), 8, None)  # transformers leaves the frequencies of a long text
    before = {name: value.clone() for name, value in rotary.named_buffers()}, rotary.max_seq_len_cached
    expected = reference(scaled(kind), text(20), 12, None)
    assert generate(ModelPair(model), text(20), "cost_aware", 12, None).tokens == expected
    after = dict(rotary.named_buffers())
    assert rotary.max_seq_len_cached == before[1]
    assert all(torch.equal(after[name], value) and not after[name].is_inference() for name, value in before[0].items())


@pytest.mark.parametrize("kind", SCALING)
def test_requests_of_a_batch_never_change_each_other(kind):
    model = scaled(kind)
    pair, prompts = ModelPair(model, disturbed(model)), [text(4), [9, 3]]
    expected = [reference(scaled(kind), prompt, 12, None) for prompt in prompts]
    assert [out.tokens for out in generate_batch(pair, prompts, "chain", 12, None)] == expected
    prompts[0] = text(20)
    if kind in CHANGING:
        with pytest.raises(DynatreeError, match="depend on the longest text beyond 24 tokens"):
            generate_batch(pair, prompts, "chain", 12, None)
        ids = torch.tensor([text(20)] * 2)
        with pytest.raises(DynatreeError, match="decode the prompts one by one"):
            model.generate(ids, custom_generate=custom_generate(), max_new_tokens=12, pad_token_id=0)
    expected[0] = reference(scaled(kind), prompts[0], 12, None)
    for prompt, tokens in zip(prompts, expected, strict=True):
        assert generate_batch(pair, [prompt], "chain", 12, None)[0].tokens == tokens


@pytest.mark.parametrize("kind", CHANGING)
def test_changing_frequencies_are_not_recorded(kind):
    with pytest.raises(DynatreeError, match="depend on the length of the text, which a graph cannot"):
        use_graphs(ModelPair(scaled(kind)), lambda run: run)


def test_positions_after_scaling_are_the_limit():
    plain = LlamaConfig(max_position_embeddings=64)
    assert (served_positions(plain), switching_length(plain), uniform_depth(plain, 99)) == (64, None, None)
    for kind in SCALING:
        assert served_positions(scaled(kind).config) == 4 * SHORT
    named = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "original_max_position_embeddings": 16}
    assert served_positions(LlamaConfig(max_position_embeddings=64, rope_parameters=named)) == 64
    with pytest.raises(DynatreeError, match=f"the target has {4 * SHORT}"):
        generate(ModelPair(scaled("linear")), text(4), "autoregressive", 4 * SHORT)


def test_depth_of_a_tree_with_uniform_frequencies():
    dynamic, longrope = (scaled(kind).config for kind in CHANGING)
    for config in (dynamic, longrope):
        assert [uniform_depth(config, root) for root in (10, SHORT - 2, SHORT - 1)] == [13, 1, 0]
    assert (uniform_depth(dynamic, SHORT), uniform_depth(longrope, SHORT)) == (0, None)


def test_a_text_beyond_the_positions_of_an_optional_draft_goes_on_without_it():
    target = tiny_model()
    pair = ModelPair(target, tiny_model(positions=16))
    expected = reference(target, [1, 2], 30, None)
    out = generate(pair, [1, 2], "cost_aware", 30, None)
    assert out.tokens == expected and not out.stats.passes["draft"]
    assert [one.tokens for one in generate_batch(pair, [[1, 2], [1, 2]], "cost_aware", 30, None)] == [expected] * 2
    how = custom_generate(pair.draft)
    settings = {"max_new_tokens": 30, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    assert target.generate(torch.tensor([[1, 2]]), custom_generate=how, **settings)[0, 2:].tolist() == expected
    with pytest.raises(DynatreeError, match="the draft has 16"):
        generate(pair, [1, 2], "cost_aware", 30, None, sources=("model",))
