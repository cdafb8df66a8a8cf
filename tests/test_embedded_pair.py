"""The embedded pair on real text."""

from pathlib import Path

import pytest
import yaml
from tiny import reference

from dynatree import generate, load_pair
from dynatree.check import check_pair
from dynatree.files import sha256

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def pair(embedded_target, shipped_draft):
    return load_pair(embedded_target, shipped_draft, device="cpu", dtype="float32")


def test_the_shipped_draft_is_what_is_pinned(embedded_target, shipped_draft, demo_config):
    pins = demo_config["models"]["draft"]["source"]["sha256"]
    assert {name: sha256(shipped_draft / name) for name in pins} == pins
    assert sum(path.stat().st_size for path in shipped_draft.iterdir()) < 30e6
    assert all(finding.good for finding in check_pair(embedded_target, shipped_draft))


@pytest.mark.parametrize("dataset", ["encyclopaedic", "narrative"])
def test_real_text_is_exact_and_saves_target_passes(pair, demo_config, dataset):
    prompt = yaml.safe_load((ROOT / f"config/prompts/{dataset}.yaml").read_text())["prompts"][2]["text"]
    expected = reference(pair.target, pair.tokenizer(prompt).input_ids, 48, None)
    for key in ("autoregressive", "linear", "fixed_tree", "dynatree"):
        method = demo_config["methods"][key]
        out = generate(pair, prompt, method["method"], 48, None, **method["options"])
        assert out.tokens == expected, key
        assert out.stats.rounds == 47 if key == "autoregressive" else out.stats.rounds < 40


def test_the_chat_end_token_stops_generation(pair):
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    text = pair.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    out = generate(pair, text, max_new_tokens=64)
    ids = pair.tokenizer(text).input_ids
    assert out.tokens == reference(pair.target, ids, 64)
    assert out.tokens[-1] == pair.tokenizer.eos_token_id
    assert "Paris" in out.text
