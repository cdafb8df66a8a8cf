"""Training of drafts that read hidden states."""

import pytest
import torch

from dynatree import ModelPair, generate
from dynatree.data.random_model import byte_tokenizer
from dynatree.distillation.agreement import agreement
from dynatree.distillation.corpus import sample_text, shard_paths
from dynatree.distillation.rollout import rollout
from dynatree.distillation.training import Recipe, distill, load_samples, make_student
from dynatree.models.forward import hidden_states
from dynatree.models.runner import ModelRunner


@pytest.fixture(scope="module")
def samples(target, tmp_path_factory):
    folder = tmp_path_factory.mktemp("states")
    sample_text(target, byte_tokenizer(), shard_paths(folder, 2), sequences=8, length=48, seed=5, states=True)
    return load_samples(folder)


def test_the_states_are_those_of_the_target(target, samples):
    with torch.inference_mode():
        expected = hidden_states(target, samples["tokens"].long())
    torch.testing.assert_close(samples["states"].float(), expected, atol=2e-3, rtol=2e-3)


@torch.inference_mode()
def test_a_reading_sees_what_a_drafted_token_sees(target, samples):
    student = make_student(target, 1, torch.arange(40), with_states=True).eval()
    text, states = samples["tokens"][0].long(), samples["states"][0].float()
    readings = rollout(student, text[None], states[None], steps=3)
    zero = torch.zeros_like(states[:1])
    for end in (1, 2, 20):
        draft = ModelRunner(student, "draft", len(text))
        draft.keeps_states = True
        draft.forward(text[:end].tolist(), range(end), states=torch.cat((zero, states[: end - 1])))
        for depth, reading in enumerate(readings):
            torch.testing.assert_close(draft.states[-1], reading[0, end - 1 + depth], atol=1e-5, rtol=1e-4)
            draft.forward([int(text[end + depth])], [end + depth], states=draft.states[-1:])


def test_training_learns_each_reading(target, samples, tmp_path):
    recipe = Recipe(layers=1, vocabulary=200, steps=30, batch=8, readings=2)
    trained = distill(target, samples, recipe, tmp_path / "checkpoint")
    untrained = make_student(target, 1, trained.lm_head.token_map, with_states=True).eval()
    before, after = hits(untrained, samples), hits(trained, samples)
    assert all(late > early + 0.1 for early, late in zip(before, after, strict=True)), (before, after)


@torch.inference_mode()
def hits(draft, samples) -> list[float]:
    """Share of the labels that the draft ranks first, for two readings."""
    readings = rollout(draft, samples["tokens"].long(), samples["states"], 2)
    guesses = [draft.lm_head(hidden).argmax(-1) for hidden in readings]
    return [(guess == samples["labels"])[:, 1:].float().mean().item() for guess in guesses]


def test_agreement_reads_the_targets_states(target, samples):
    """A draft that repeats the target's state predicts what the target predicted before."""
    student = make_student(target, 1, torch.arange(target.config.vocab_size), with_states=True).eval()
    with torch.no_grad():
        student.model.layers[0].self_attn.o_proj.weight.zero_()
        student.model.layers[0].mlp.down_proj.weight.zero_()
        student.model.norm.weight.fill_(1.0)
        width = target.config.hidden_size
        student.get_input_embeddings().mix.weight.copy_(torch.cat((torch.zeros(width, width), torch.eye(width)), 1))
    text = samples["tokens"][0].long()
    states = samples["states"][0].float()
    predicted = student.lm_head(rollout(student, text[None], states[None], 1)[0])[0].argmax(-1)
    assert torch.equal(predicted[1:], samples["labels"][0, :-1].long())
    shares = agreement(ModelPair(target, student, byte_tokenizer()), [text[:8].tolist()], 16)
    repeated = generate(ModelPair(target), text[:8].tolist(), "autoregressive", 16, None).tokens
    expected = [one == other for one, other in zip([int(samples["labels"][0, 6]), *repeated], repeated, strict=False)]
    assert shares[1] == sum(expected) / 16
