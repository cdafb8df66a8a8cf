"""The recipe of the draft, at a size of seconds."""

import pytest
import torch
from safetensors.torch import load_file

from dynatree import DynatreeError, ModelPair
from dynatree.data.random_model import SPECIAL, byte_tokenizer
from dynatree.distillation import training
from dynatree.distillation.agreement import agreement
from dynatree.distillation.corpus import sample_text
from dynatree.distillation.training import Recipe, distil, frequent_tokens, load_samples, make_student
from tests.support.models import disturbed, tiny_model

VOCABULARY = len(SPECIAL) + 256


@pytest.fixture(scope="module")
def target():
    return tiny_model(vocabulary=VOCABULARY)


@pytest.fixture(scope="module")
def folder(target, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    sample_text(target, byte_tokenizer(), folder, shards=3, sequences=8, length=48, seed=5)
    return folder


def test_labels_are_the_targets_own_argmax(target, folder):
    samples = load_samples(folder)
    with torch.inference_mode():
        expected = target(samples["tokens"].long()).logits.argmax(-1)
    assert torch.equal(samples["labels"].long(), expected)
    assert not torch.isin(samples["tokens"], torch.arange(len(SPECIAL))).any()
    assert len(samples["tokens"].unique(dim=0)) == 24


def test_sampling_resumes_and_repeats(target, folder, tmp_path):
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    sample_text(target, byte_tokenizer(), folder, shards=3, sequences=8, length=48, seed=5)
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    sample_text(target, byte_tokenizer(), tmp_path, shards=1, sequences=8, length=48, seed=5)
    assert (tmp_path / "0000.safetensors").read_bytes() == (folder / "0000.safetensors").read_bytes()


def test_too_little_text_is_an_error(tmp_path):
    with pytest.raises(DynatreeError, match="holds 0 shards"):
        load_samples(tmp_path)


def test_frequent_tokens():
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
    whole = distil(target, samples, recipe, tmp_path / "whole.safetensors")

    save = training._save

    def stop(path, step, student, optimiser):
        save(path, step, student, optimiser)
        if step == 20:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dynatree.distillation.training._save", stop)
        with pytest.raises(KeyboardInterrupt):
            distil(target, samples, recipe, tmp_path / "cut.safetensors")
    assert int(load_file(tmp_path / "cut.safetensors")["step"]) == 20
    resumed = distil(target, samples, recipe, tmp_path / "cut.safetensors")
    for ours, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)

    untrained = make_student(target, 1, frequent_tokens(samples["labels"], 200, VOCABULARY)).eval()
    assert hits(whole, samples) > hits(untrained, samples) + 0.1


@torch.inference_mode()
def hits(draft, samples) -> float:
    """Share of the labels that the draft ranks first."""
    return (draft(samples["tokens"].long()).logits.argmax(-1) == samples["labels"]).float().mean().item()


def test_agreement_counts_what_the_draft_ranks_first(target):
    prompts = [[5, 6, 7], [8]]
    assert agreement(ModelPair(target, disturbed(target, noise=0.0), byte_tokenizer()), prompts, 8) == {
        1: 1,
        2: 1,
        4: 1,
    }
    shares = agreement(ModelPair(target, disturbed(target), byte_tokenizer()), prompts, 24)
    assert 0 < shares[1] < shares[4] < 1
