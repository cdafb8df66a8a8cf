"""Files of memories."""

import numpy as np
import pytest

from dynatree import DynatreeError, ModelPair, generate, load_memory, save_memory
from dynatree.drafting.memory import Memory
from tests.support.models import tiny_model

PROMPT = [4, 8, 15, 16]


@pytest.fixture(scope="module")
def pair() -> ModelPair:
    pair = ModelPair(tiny_model("llama", 2))
    generate(pair, PROMPT, "cost_aware", 30, None, memory=500)
    return pair


def content(memory: Memory) -> tuple:
    successors = [(ngram, list(found)) for ngram, found in memory.successors.items()]
    return memory.limit, successors, list(memory.predictions.items())


def test_a_memory_survives_a_file_byte_for_byte(pair, tmp_path):
    path, again = tmp_path / "memory.npz", tmp_path / "again.npz"
    save_memory(pair, path)
    other = ModelPair(pair.target)
    load_memory(other, path)
    assert content(other.state.memory) == content(pair.state.memory)
    save_memory(other, again)
    assert path.read_bytes() == again.read_bytes()
    out = generate(other, PROMPT, "cost_aware", 30, None, memory=500)
    assert out.tokens == generate(pair, PROMPT, "autoregressive", 30, None).tokens


def test_an_empty_memory_survives_a_file(pair, tmp_path):
    empty = ModelPair(pair.target)
    empty.state.memory = Memory(7)
    save_memory(empty, tmp_path / "memory.npz")
    load_memory(empty, tmp_path / "memory.npz")
    assert content(empty.state.memory) == (7, [], [])


def test_a_pair_without_memory_has_nothing_to_save(pair, tmp_path):
    with pytest.raises(DynatreeError, match="no memory of past outputs"):
        save_memory(ModelPair(pair.target), tmp_path / "memory.npz")


def test_a_file_of_another_vocabulary_is_refused(pair, tmp_path):
    save_memory(pair, tmp_path / "memory.npz")
    other = ModelPair(tiny_model("llama", 2, 512, 512))
    with pytest.raises(DynatreeError, match="but the target has 512"):
        load_memory(other, tmp_path / "memory.npz")
    assert other.state.memory is None


def test_a_missing_file_is_named(pair, tmp_path):
    with pytest.raises(DynatreeError, match="is missing; write it with save_memory"):
        load_memory(pair, tmp_path / "memory.npz")


@pytest.mark.parametrize(
    "change",
    [
        {"format": np.array(2)},
        {"ngrams": np.array([[10**6] * 16], np.int32)},
        {"ngrams": np.array([[1] * 16], np.int64)},
        {"log_probs": np.array([[0.5]], np.float32)},
        {"successors": np.array([[1, 2, 3, -1]], np.int32)},
        {"vocabulary": np.array([1, 2])},
        {"ngrams": np.array([object()])},
    ],
)
def test_a_damaged_file_is_refused(pair, tmp_path, change):
    path = tmp_path / "memory.npz"
    save_memory(pair, path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, allow_pickle=True, **arrays | change)
    with pytest.raises(DynatreeError, match="is no memory of format 1"):
        load_memory(pair, path)


def test_a_truncated_file_is_refused(pair, tmp_path):
    path = tmp_path / "memory.npz"
    save_memory(pair, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DynatreeError, match="is no memory of format 1"):
        load_memory(pair, path)
