"""A draft made from sampled text to its model card."""

import json

from dynatree import generate, load_pair
from dynatree.data.random_model import save_tiny_checkpoint
from dynatree.distillation import draft
from dynatree.distillation.corpus import sample_text, shard_paths
from dynatree.distillation.training import Recipe
from dynatree.models import loading


def test_a_distilled_draft_loads_with_its_target_and_its_card_names_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr(draft, "NEW_TOKENS", 4)
    monkeypatch.setattr(loading, "faster_in_small_batches", lambda model: True)  # as for the embedded target
    save_tiny_checkpoint(tmp_path / "target", "llama", seed=0, layers=2, noise=0.0)
    pair = load_pair(tmp_path / "target", device="cpu", dtype="float32")
    sample_text(pair.target, pair.tokenizer, shard_paths(tmp_path / "samples", 2), sequences=4, length=32, seed=1)
    recipe = Recipe(layers=1, vocabulary=64, steps=2, batch=4)
    report = draft.distill_draft(tmp_path / "target", tmp_path / "samples", tmp_path / "draft", recipe, "python x")
    assert json.loads((tmp_path / "draft/report.json").read_text()) == json.loads(json.dumps(report))
    assert report["sequences"] == 8 and report["prompts"] == 16
    assert f"| agreement, top 1 | {report['top1']:.3f} |" in (tmp_path / "draft/README.md").read_text()
    both = load_pair(tmp_path / "target", tmp_path / "draft", device="cpu", dtype="float32")
    assert generate(both, "a b c", "chain", 6).tokens == generate(both, "a b c", "autoregressive", 6).tokens
