"""Training of a draft, interrupted and not."""

import os
import signal
from dataclasses import replace

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


RECIPE = Recipe(layers=1, vocabulary=200, steps=30, batch=8)


@pytest.fixture(scope="module")
def whole(target, folder, tmp_path_factory):
    """The draft of a training that nothing interrupts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "CHECKPOINT_EVERY", 10)
        return distill(target, load_samples(folder), RECIPE, tmp_path_factory.mktemp("whole") / "checkpoint")


@pytest.fixture
def checkpoint(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 10)
    return tmp_path / "checkpoint.safetensors"


def die_at(step: int, number: int, monkeypatch) -> None:
    """Let this process die while it replaces the checkpoint of a step."""
    save = training._save

    def dying_save(path, at, *arguments):
        if at == step:
            monkeypatch.setattr(os, "replace", lambda *_: os.kill(os.getpid(), number))
        save(path, at, *arguments)

    monkeypatch.setattr(training, "_save", dying_save)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_training_goes_on_and_changes_nothing(target, folder, whole, checkpoint, monkeypatch, number):
    samples = load_samples(folder)
    child = os.fork()
    if child == 0:
        try:
            if number != signal.SIGKILL:
                signal.signal(number, signal.SIG_DFL)
            die_at(20, number, monkeypatch)
            distill(target, samples, RECIPE, checkpoint)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -number
    assert int(load_file(checkpoint)["step"]) == 10
    resumed = distill(target, samples, RECIPE, checkpoint)
    for ours, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("damage", ["another seed", "another text", "cut off"])
def test_a_checkpoint_of_another_training_is_not_continued(target, folder, whole, checkpoint, damage):
    samples = load_samples(folder)
    recipe = replace(RECIPE, seed=7) if damage == "another seed" else RECIPE
    text = {name: tensor.flip(0) for name, tensor in samples.items()} if damage == "another text" else samples
    distill(target, text, recipe, checkpoint)
    if damage == "cut off":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-50])
    again = distill(target, samples, RECIPE, checkpoint)
    for ours, theirs in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_training_learns(target, folder, whole):
    samples = load_samples(folder)
    untrained = make_student(target, 1, frequent_tokens(samples["labels"], 200, target.config.vocab_size)).eval()
    assert hits(whole, samples) > hits(untrained, samples) + 0.1


@torch.inference_mode()
def hits(draft, samples) -> float:
    """Share of the labels that the draft ranks first."""
    return (draft(samples["tokens"].long()).logits.argmax(-1) == samples["labels"]).float().mean().item()


def test_a_training_can_start_from_an_earlier_draft(target, folder, whole, tmp_path):
    samples = load_samples(folder)
    recipe = replace(RECIPE, vocabulary=150, steps=1, rate=1e-9, head_rate=1e-9)
    again = distill(target, samples, recipe, tmp_path / "checkpoint", whole)
    tokens = again.lm_head.token_map
    assert len(tokens) == 150
    ids = samples["tokens"][:2].long()
    with torch.inference_mode():
        torch.testing.assert_close(again(ids).logits[..., tokens], whole(ids).logits[..., tokens])


def test_a_training_refuses_an_earlier_draft_of_another_size(target, folder, whole, tmp_path):
    with pytest.raises(DynatreeError, match="2 layers cannot start from one of 1"):
        distill(target, load_samples(folder), replace(RECIPE, layers=2), tmp_path / "checkpoint", whole)
