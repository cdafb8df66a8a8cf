"""Training of a draft, interrupted and not."""

import pytest
import torch
from safetensors.torch import load_file

from dynatree import DynatreeError
from dynatree.distillation import training
from dynatree.distillation.training import Recipe, distill, frequent_tokens, load_samples, make_student


def test_too_little_text_is_an_error(tmp_path):
    with pytest.raises(DynatreeError, match="holds 0 shards"):
        load_samples(tmp_path)


def test_frequent_tokens_come_in_ascending_order():
    assert frequent_tokens(torch.tensor([[5, 2, 5], [9, 9, 5]]), 2, 12).tolist() == [5, 9]


def test_the_student_starts_from_the_targets_outer_layers(target):
    student = make_student(target, 2, torch.arange(10))
    assert torch.equal(student.model.layers[1].mlp.up_proj.weight, target.model.layers[1].mlp.up_proj.weight)
    assert student.get_input_embeddings() is target.get_input_embeddings()
    assert target.config.num_hidden_layers == len(target.model.layers) == 2
    assert [layer.self_attn.layer_idx for layer in student.model.layers] == [0, 1]


def test_training_learns_and_an_interruption_changes_nothing(target, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("dynatree.distillation.training.CHECKPOINT_EVERY", 10)
    recipe, samples = Recipe(layers=1, vocabulary=200, steps=30, batch=8), load_samples(folder)
    whole = distill(target, samples, recipe, tmp_path / "whole.safetensors")

    save = training._save

    def stop(path, step, student, optimiser):
        save(path, step, student, optimiser)
        if step == 20:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dynatree.distillation.training._save", stop)
        with pytest.raises(KeyboardInterrupt):
            distill(target, samples, recipe, tmp_path / "cut.safetensors")
    assert int(load_file(tmp_path / "cut.safetensors")["step"]) == 20
    resumed = distill(target, samples, recipe, tmp_path / "cut.safetensors")
    for ours, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)

    untrained = make_student(target, 1, frequent_tokens(samples["labels"], 200, target.config.vocab_size)).eval()
    assert hits(whole, samples) > hits(untrained, samples) + 0.1


@torch.inference_mode()
def hits(draft, samples) -> float:
    """Share of the labels that the draft ranks first."""
    return (draft(samples["tokens"].long()).logits.argmax(-1) == samples["labels"]).float().mean().item()
