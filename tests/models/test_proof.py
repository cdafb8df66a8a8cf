"""The proof finds models that decode wrongly."""

import pytest
import torch
from transformers import BartConfig, Gemma2Config, LlamaConfig, MistralConfig

from dynatree.models import attention, layout, proof
from dynatree.models.proof import prove


def test_a_plain_model_is_exact():
    assert prove(LlamaConfig()).mode == "grouped"


def test_a_decoder_of_an_encoder_is_refused_without_a_model():
    assert prove(BartConfig()).reason == "its decoder reads the output of an encoder"


@pytest.fixture
def first_mode_only(monkeypatch):
    monkeypatch.setattr(proof, "MODES", ("grouped",))
    monkeypatch.setattr(proof, "PROMPTS", (17,))


def test_a_dropped_window_is_found(monkeypatch, first_mode_only):
    mask = layout.PassLayout.mask
    monkeypatch.setattr(
        layout.PassLayout, "mask", lambda self, function, device: mask(self, layout.causal_mask_function, device)
    )
    assert "instead of" in prove(MistralConfig()).reason


def test_a_dropped_bound_of_scores_is_found(monkeypatch, first_mode_only):
    def careless(query, key, value, mask, scaling, softcap, sinks, position_bias):
        return attention._attend(query, key, value, mask, scaling)

    monkeypatch.setattr(attention, "_attend_by_scores", careless)
    assert "logits differ" in prove(Gemma2Config()).reason


def test_an_unknown_argument_of_attention_is_an_error():
    states = torch.ones(1, 2, 3, 4)
    with pytest.raises(attention.DynatreeError, match="passes block_indices, which grouped attention does not apply"):
        attention.grouped_attention(None, states, states, states, None, block_indices=1)
