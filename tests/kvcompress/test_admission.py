"""Caches that cannot be compressed are refused with the reason."""

import pytest
import torch
from transformers import BloomConfig, DeepseekV3Config, DiffLlamaConfig, GemmaConfig, Mamba2Config

from dynatree import DynatreeError, ModelPair, generate
from dynatree.kvcompress import CompressedCache, admission, compress
from dynatree.kvcompress.admission import admit_compression
from dynatree.models.proof import Verdict, quiet
from dynatree.models.tiny_config import tiny_config, tiny_model
from tests.support.models import tiny_model as tiny_llama

REFUSED = {
    "keys and values have the widths 24 and 8": DeepseekV3Config,
    "its attention is the model's own": BloomConfig,
    "its cache is the model's own": Mamba2Config,
    "logits differ by": DiffLlamaConfig,
}


@pytest.mark.parametrize("reason", REFUSED)
def test_each_way_to_compress_a_cache_names_the_reason(reason):
    with quiet():
        model = tiny_model(tiny_config(REFUSED[reason]()))
    pair = ModelPair(model, model)
    for name in ("draft_cache", "target_cache"):
        with pytest.raises(DynatreeError, match=f"whose cache is not compressed: .*{reason}"):
            generate(pair, [5, 9, 2], "chain", 8, None, **{name: "l2_norm:budget=8,every=8"})
    with pytest.raises(DynatreeError, match=reason):
        CompressedCache(model, "full")
    with pytest.raises(DynatreeError, match=reason), compress(model, "full"):
        model(torch.tensor([[5, 9, 2]]))


def test_an_unknown_configuration_is_proved_once_with_a_line_of_progress(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(admission, "find_verdict", lambda *_: Verdict("grouped"))
    monkeypatch.setattr(admission, "keep_verdict", lambda verdict, *_: asked.append(verdict.compression))
    monkeypatch.setattr(admission, "prove_compression", lambda *_: "its keys are too wide")
    model = tiny_llama()
    for _ in range(2):
        with pytest.raises(DynatreeError, match="'llama' model, whose cache is not compressed: its keys are too wide"):
            admit_compression(model, "draft")
    assert asked == ["its keys are too wide"]
    assert capsys.readouterr().err.count("proving that caches of a 'llama' model can be compressed") == 1


def test_a_kept_verdict_holds_for_later_processes(monkeypatch):
    config = GemmaConfig(hidden_act="relu", attention_bias=True)
    monkeypatch.setattr(admission, "prove_compression", lambda *_: "")
    admit_compression(_admitted(config), "draft")
    monkeypatch.setattr(admission, "prove_compression", lambda *_: pytest.fail("a proof"))
    admit_compression(_admitted(config), "draft")


def _admitted(config):
    """Return a new model of a configuration."""
    return ModelPair(tiny_model(tiny_config(config))).target
