"""The file format of recordings, and the recorder on a tiny random model."""

from dataclasses import replace

import numpy as np
import pytest

from dynatree import ModelPair, generate
from dynatree.arena.recorder import record
from dynatree.arena.recording import RecordedOutput, Recording, read_recording, write_recording
from dynatree.data.random_model import byte_tokenizer
from dynatree.errors import DynatreeError
from tests.support.models import tiny_model


def output(name: str, prompt: list[int], tokens: list[int]) -> RecordedOutput:
    ids = np.array([[token, token + 1, token + 2] for token in tokens], np.int32)
    return RecordedOutput(name, "kind", prompt, tokens, ids, np.full(ids.shape, -1.5, np.float16))


RECORDING = Recording("tiny", "made up", [output("a", [1, 2], [3, 4, 5]), output("b", [6], [7])])


def test_a_recording_is_read_as_it_was_written(tmp_path):
    write_recording(tmp_path / "one.npz", RECORDING)
    found = read_recording(tmp_path / "one.npz")
    assert (found.target, found.dataset) == ("tiny", "made up")
    for ours, theirs in zip(RECORDING.outputs, found.outputs, strict=True):
        assert (ours.id, ours.category, ours.prompt, ours.tokens) == (
            theirs.id,
            theirs.category,
            theirs.prompt,
            theirs.tokens,
        )
        assert (ours.row_ids == theirs.row_ids).all() and (ours.row_log_probs == theirs.row_log_probs).all()


def test_equal_recordings_are_equal_files_without_pickled_objects(tmp_path):
    for name in ("one.npz", "other.npz"):
        write_recording(tmp_path / name, RECORDING)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()
    with np.load(tmp_path / "one.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["one.npz", "other.npz"]


def test_a_missing_or_damaged_recording_is_one_line(tmp_path):
    with pytest.raises(DynatreeError, match="is missing; record it"):
        read_recording(tmp_path / "none.npz")
    path = tmp_path / "cut.npz"
    write_recording(path, RECORDING)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DynatreeError, match="is no recording of format 1"):
        read_recording(path)
    wrong = replace(RECORDING.outputs[0], tokens=[3, 4, 6])
    write_recording(path, replace(RECORDING, outputs=[wrong]))
    with pytest.raises(DynatreeError, match="'a' that is not the most likely one"):
        read_recording(path)


def test_recorded_tokens_are_those_of_plain_decoding_with_their_rows():
    pair = ModelPair(target=tiny_model(), draft=None, tokenizer=None)
    (found,) = record(pair, [{"id": "x", "tokens": [1, 5, 9, 2]}], 12, row=4)
    assert found.tokens == generate(pair, [1, 5, 9, 2], "autoregressive", 12).tokens
    assert found.row_ids.shape == (len(found.tokens), 4)
    assert found.row_ids[:, 0].tolist() == found.tokens
    assert (np.diff(found.row_log_probs.astype(float)) <= 0).all()


def test_a_further_turn_contains_the_recorded_answer():
    tokenizer = byte_tokenizer()
    pair = ModelPair(target=tiny_model(vocabulary=len(tokenizer), positions=256), draft=None, tokenizer=tokenizer)
    first, second = record(pair, [{"id": "x", "tokens": tokenizer("Hello").input_ids, "turns": ["Hello", "More"]}], 8)
    answer = tokenizer.decode(first.tokens, skip_special_tokens=True)
    assert second.id == "x-turn-2"
    assert second.prompt == tokenizer(f"Hello\n\n{answer}\n\nMore").input_ids
