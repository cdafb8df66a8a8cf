"""Text sampled from the target."""

import shutil

import torch

from dynatree.data.random_model import SPECIAL, byte_tokenizer
from dynatree.distillation.corpus import prompt_tokens, sample_text, shard_paths
from dynatree.distillation.training import load_samples


def test_labels_are_the_targets_own_argmax(target, folder):
    samples = load_samples(folder)
    with torch.inference_mode():
        expected = target(samples["tokens"].long()).logits.argmax(-1)
    assert torch.equal(samples["labels"].long(), expected)
    assert not torch.isin(samples["tokens"], torch.arange(len(SPECIAL))).any()
    assert len(samples["tokens"].unique(dim=0)) == 24


def test_sampling_resumes_and_repeats(target, folder, tmp_path):
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    sample_text(target, byte_tokenizer(), shard_paths(folder, 3), sequences=8, length=48, seed=5)
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    sample_text(target, byte_tokenizer(), shard_paths(tmp_path, 1), sequences=8, length=48, seed=5)
    assert (tmp_path / "0000.safetensors").read_bytes() == (folder / "0000.safetensors").read_bytes()


def test_shards_of_other_arguments_are_sampled_again(target, folder, tmp_path):
    paths = shard_paths(tmp_path, 2)
    for path in (*paths, tmp_path / "0002.safetensors"):
        shutil.copy2(folder / path.name, path)
    paths[1].write_bytes(paths[1].read_bytes()[:-50])  # cut off
    assert sample_text(target, byte_tokenizer(), paths, sequences=8, length=48, seed=5) == [paths[1]]
    assert sorted(tmp_path.glob("*")) == paths, "a shard beyond the last one is removed"
    assert paths[1].read_bytes() == (folder / paths[1].name).read_bytes()
    assert sample_text(target, byte_tokenizer(), paths, sequences=8, length=40, seed=5) == paths


def test_a_share_of_the_texts_answers_a_question():
    tokenizer = byte_tokenizer()
    prompts = prompt_tokens(tokenizer, 8, limit=100, seed=5, chat=0.75)
    plain = prompt_tokens(tokenizer, 8, limit=100, seed=5, chat=0.0)
    assert len(prompts) == 8 and all(len(ids) <= 100 for ids in prompts)
    assert prompts[6:] == plain[:2], "openings come after the questions"
    assert not set(map(tuple, prompts[:6])) & set(map(tuple, plain))
