"""Keys that are rotated equal keys that were computed there."""

import pytest
import torch
from transformers import (
    CohereConfig,
    Gemma3Config,
    Gemma3TextConfig,
    Gemma4TextConfig,
    GlmConfig,
    GPT2Config,
    Phi3Config,
    SmolLM3Config,
)

from dynatree.errors import DynatreeError
from dynatree.kvcompress.rotary import layer_rotations, rotary_frequencies, rotate_keys
from dynatree.models import tiny_config as tiny
from dynatree.models.kv_cache import TreeCache
from tests.support.models import tiny_model
from tests.support.replay_methods import KINDS, text

SCALED = {
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    "llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 32},
    "linear": {"rope_type": "linear", "factor": 2.0},
}  # fmt: skip


@torch.inference_mode()
def keys_at(model, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Keys [kv_heads, length, head_dim] of the first layer, which do not depend on attention."""
    cache = TreeCache(model.config.num_hidden_layers, tokens.shape[1])
    model(tokens, position_ids=positions[None], past_key_values=cache)
    return cache.buffer[0, 0]


def scaled(kind: str, rope: dict):
    model = tiny_model(kind)
    config = model.config
    config.rope_parameters = {**config.rope_parameters, **rope}
    return type(model)(config).eval()


@pytest.mark.parametrize("rope", [None, *SCALED])
@pytest.mark.parametrize("kind", KINDS)
def test_rotated_keys_equal_keys_computed_at_the_new_positions(kind, rope):
    model = scaled(kind, SCALED[rope]) if rope else tiny_model(kind)
    tokens, old = text(20), torch.arange(20) * 5
    new = torch.randperm(100, generator=torch.Generator().manual_seed(0))[:20]
    turned = rotate_keys(keys_at(model, tokens, old), new - old, rotary_frequencies(model))
    torch.testing.assert_close(turned, keys_at(model, tokens, new), atol=1e-5, rtol=1e-5)


def test_only_a_part_of_a_key_rotates_in_gpt_neox():
    model = tiny_model("gpt_neox")
    keys = keys_at(model, text(8), torch.arange(8))
    turned = rotate_keys(keys, torch.full((8,), 7), rotary_frequencies(model))
    part = 2 * len(rotary_frequencies(model))
    assert part < keys.shape[-1]
    assert torch.equal(turned[..., part:], keys[..., part:])
    assert not torch.allclose(turned[..., :part], keys[..., :part])


def test_half_precision_keeps_its_format():
    keys = torch.randn(2, 5, 8).half()
    assert rotate_keys(keys, torch.zeros(5), torch.ones(4)).equal(keys)


def test_angles_that_change_with_the_text_are_refused():
    model = scaled("llama", {"rope_type": "dynamic", "factor": 2.0})
    with pytest.raises(DynatreeError, match="'dynamic' change with the length of the text"):
        rotary_frequencies(model)


@pytest.mark.parametrize(
    "config",
    [
        CohereConfig(),
        GlmConfig(),
        Gemma3TextConfig(),
        Gemma3Config(),
        SmolLM3Config(),
        Phi3Config(),
        Gemma4TextConfig(),
    ],
    ids=type,
)
def test_the_rotation_of_each_layer_is_read_off_its_keys(config):
    model = tiny.tiny_model(tiny.tiny_config(config))
    rotations = layer_rotations(model)
    assert len(rotations) == model.config.get_text_config().num_hidden_layers
    kinds = {(one.interleaved, tuple(one.frequencies.tolist())) for one in rotations}
    two = isinstance(config, Gemma3TextConfig | Gemma3Config | SmolLM3Config | Gemma4TextConfig)
    assert len(kinds) == (2 if two else 1)
    assert any(one.interleaved for one in rotations) == isinstance(config, CohereConfig | GlmConfig)


def test_keys_without_rotation_are_refused():
    with pytest.raises(DynatreeError, match="'gpt2' model has no rotary embedding"):
        layer_rotations(tiny.tiny_model(tiny.tiny_config(GPT2Config())))
