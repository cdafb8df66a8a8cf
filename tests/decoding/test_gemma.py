"""Gemma 3 270M, whose layers have windows: exact on real text with every method that needs no draft."""

from pathlib import Path

import pytest
import torch
import yaml

from dynatree import ModelPair, generate
from dynatree.config.load import load_config
from dynatree.data.checkpoints import fetch
from dynatree.errors import DynatreeError
from dynatree.models.loading import load_model, load_tokenizer
from dynatree.utils.files import MANIFEST
from tests.support.models import reference

ROOT = Path(__file__).resolve().parents[2]
METHODS = [
    ("autoregressive", {}),
    ("cost_aware", {}),
    *(("cost_aware", {"sources": (s,)}) for s in ("ngram", "recycling")),
]


@pytest.fixture(scope="module")
def gemma() -> ModelPair:
    model = load_config(ROOT / "config/gemma.yaml")["models"]["target"]
    folder = ROOT / "resources/models" / model["name"]
    if not (folder / MANIFEST).exists():
        try:
            fetch(model["source"], folder)
        except DynatreeError as error:
            pytest.skip(str(error))
    target = load_model(folder, "target", torch.device("cpu"), torch.float32)
    return ModelPair(target, None, load_tokenizer(folder))


@pytest.mark.nightly
@pytest.mark.parametrize(("method", "options"), METHODS)
def test_five_hundred_tokens_of_real_text_are_exact(gemma, method, options):
    chapters = yaml.safe_load((ROOT / "config/prompts/chapters.yaml").read_text())
    prompt = gemma.tokenizer(chapters["prompts"][0]["text"])["input_ids"][:200]
    assert generate(gemma, prompt, method, 500, None, **options).tokens == reference(gemma.target, prompt, 500, None)


@pytest.mark.nightly
def test_five_hundred_tokens_that_do_not_repeat_are_exact(gemma, monkeypatch):
    """Plain greedy text of this model soon repeats itself, so a penalty makes the text longer than its windows."""
    monkeypatch.setattr(gemma.target.generation_config, "repetition_penalty", 1.3)
    chapters = yaml.safe_load((ROOT / "config/prompts/chapters.yaml").read_text())
    prompt = gemma.tokenizer(chapters["prompts"][0]["text"])["input_ids"][:200]
    expected = reference(gemma.target, prompt, 500, None)
    assert generate(gemma, prompt, "cost_aware", 500, None).tokens == expected
    assert len(set(expected)) > 100
