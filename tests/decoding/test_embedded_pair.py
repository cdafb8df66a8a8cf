"""The embedded pair on real text."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from dynatree import generate, load_pair
from dynatree.models.compatibility import check_pair
from dynatree.utils.files import sha256
from tests.support.models import reference

ROOT = Path(__file__).resolve().parents[2]
TUNED = {
    "chain": {"length": 3},
    "fixed_tree": {"depth": 4, "branch": 2, "prune_probability": 0.05, "node_budget": 8},
}


@pytest.fixture(scope="module")
def pair(embedded_target, shipped_draft):
    return load_pair(embedded_target, shipped_draft, device="cpu", dtype="float32")


def test_the_shipped_draft_has_the_pinned_hashes(embedded_target, shipped_draft, demo_config):
    pins = demo_config["models"]["draft"]["source"]["sha256"]
    assert {name: sha256(shipped_draft / name) for name in pins} == pins
    assert (shipped_draft / "model.safetensors").stat().st_size < 30e6
    assert all(finding.good for finding in check_pair(embedded_target, shipped_draft))


@pytest.mark.parametrize("dataset", ["encyclopaedic", "narrative"])
def test_real_text_is_exact_and_saves_target_passes(pair, demo_config, dataset):
    prompt = yaml.safe_load((ROOT / f"config/prompts/{dataset}.yaml").read_text())["prompts"][2]["text"]
    expected = reference(pair.target, pair.tokenizer(prompt).input_ids, 48, None)
    for key in ("autoregressive", "chain", "fixed_tree", "dynatree"):
        method = demo_config["methods"][key]
        options = TUNED[method["tuned"]] if "tuned" in method else method["options"]
        out = generate(pair, prompt, method["method"], 48, None, **options)
        assert out.tokens == expected, key
        assert out.stats.rounds == 47 if key == "autoregressive" else out.stats.rounds < 40


@pytest.mark.parametrize("dataset", ["encyclopaedic", "narrative"])
def test_counts_equal_those_of_the_snapshot(pair, demo_config, dataset):
    """Counts do not depend on the machine that measured the snapshot."""
    snapshot = pd.read_csv(ROOT / "results/snapshots/demo/requests.csv")
    rows = snapshot[(snapshot["dataset"] == dataset) & (snapshot["case"] == "dynatree")]
    prompts = yaml.safe_load((ROOT / f"config/prompts/{dataset}.yaml").read_text())["prompts"]
    text = next(prompt["text"] for prompt in prompts if prompt["id"] == rows.iloc[0]["prompt"])
    options = demo_config["methods"]["dynatree"]["options"]
    out = generate(pair, text, "dynatree", int(rows.iloc[0]["new_tokens"]), None, **options)
    for name in ("rounds", "draft_forwards", "verified", "accepted"):
        assert getattr(out.stats, name) == rows.iloc[0][name], name


def test_the_chat_end_token_stops_generation(pair):
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    text = pair.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    out = generate(pair, text, max_new_tokens=64)
    ids = pair.tokenizer(text).input_ids
    assert out.tokens == reference(pair.target, ids, 64)
    assert out.tokens[-1] == pair.tokenizer.eos_token_id
    assert "Paris" in out.text
