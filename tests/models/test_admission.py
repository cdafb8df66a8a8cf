"""Admission of models by a proof on small ones."""

import json

import pytest
from transformers import BertConfig, GemmaConfig, LlamaConfig, MistralConfig, Qwen2Config

from dynatree import DynatreeError, ModelPair
from dynatree.models import admission
from dynatree.models.admission import TABLE, facts_of, find_verdict, fingerprint, versions
from dynatree.models.modes import mode_of
from dynatree.models.proof import Verdict
from dynatree.models.tiny_config import tiny_config, tiny_model


def test_sizes_are_no_facts():
    small = LlamaConfig(
        num_hidden_layers=3, hidden_size=576, num_attention_heads=9, num_key_value_heads=3, vocab_size=49152
    )
    large = LlamaConfig(num_hidden_layers=80, hidden_size=8192, num_attention_heads=64, num_key_value_heads=8)
    assert facts_of(small) == facts_of(large)
    assert fingerprint(small) != fingerprint(MistralConfig())


@pytest.mark.parametrize(
    "changed",
    [
        {"attention_bias": True},
        {"hidden_act": "gelu"},
        {"num_key_value_heads": 4},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
    ],
)
def test_what_changes_an_operation_is_a_fact(changed):
    assert fingerprint(LlamaConfig()) != fingerprint(LlamaConfig(**changed))


def test_windows_of_layers_are_facts():
    plain, windows = Qwen2Config(), Qwen2Config(use_sliding_window=True, max_window_layers=4)
    assert fingerprint(plain) != fingerprint(windows)
    assert set(tiny_config(windows).layer_types) == {"full_attention", "sliding_attention"}


def test_a_shipped_verdict_needs_no_proof(monkeypatch):
    monkeypatch.setattr(admission, "prove", lambda *_: pytest.fail("a proof"))
    assert json.loads(TABLE.read_text())["versions"] == versions(), "run `make models`"
    assert find_verdict(GemmaConfig()).mode == "grouped"


def test_an_unknown_configuration_is_proved_once_with_a_line_of_progress(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(admission, "prove", lambda config, kind: asked.append(config) or Verdict("eager"))
    config = GemmaConfig(hidden_act="silu", attention_bias=True)
    assert find_verdict(config) == find_verdict(config) == Verdict("eager")
    assert len(asked) == 1
    assert capsys.readouterr().err.count("proving that decoding with a 'gemma' model is exact") == 1


def test_another_version_proves_again(monkeypatch):
    before = fingerprint(GemmaConfig())
    monkeypatch.setattr(admission, "__version__", "0")
    assert fingerprint(GemmaConfig()) != before


def test_a_model_that_fails_its_proof_is_refused_with_the_reason():
    with pytest.raises(DynatreeError, match="'bert' model, which is refused: its tokens attend to later ones"):
        ModelPair(tiny_model(tiny_config(BertConfig())))


def test_a_pair_runs_in_the_way_of_its_proof():
    model = tiny_model(tiny_config(MistralConfig()))
    assert ModelPair(model).target is model and mode_of(model) == "grouped"
