"""Recorded outputs of a target: token ids, and its most likely tokens at each position.

A recording is a .npz file of arrays without pickled objects. Equal recordings are equal byte for byte.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dynatree.errors import DynatreeError
from dynatree.utils.files import atomic_file

FORMAT = 1
TEXTS, LENGTHS = ("ids", "categories"), ("prompt_lengths", "output_lengths")


@dataclass(frozen=True)
class RecordedOutput:
    """The greedy output of a target after one prompt.

    Attributes:
        id: name of the prompt.
        category: kind of the prompt.
        prompt: token ids of the prompt.
        tokens: token ids of the output.
        row_ids: int32 [tokens, k]: the most likely tokens at each position of the output, the emitted one first.
        row_log_probs: float16 [tokens, k]: their log-probabilities.
    """

    id: str
    category: str
    prompt: list[int]
    tokens: list[int]
    row_ids: npt.NDArray[np.int32]
    row_log_probs: npt.NDArray[np.float16]


@dataclass(frozen=True)
class Recording:
    """The outputs of one target on one data set, in the order in which it decoded them.

    Attributes:
        target: name of the target.
        dataset: name of the data set.
        outputs: one for each prompt and turn.
    """

    target: str
    dataset: str
    outputs: list[RecordedOutput]


def write_recording(path: str | Path, recording: Recording) -> None:
    """Write a recording atomically.

    Args:
        path: file that is replaced.
        recording: at least one output; all rows have the same width.

    Raises:
        OSError: the disk is full or the folder is not writable.
    """
    outputs = recording.outputs
    arrays = {
        "format": np.array(FORMAT, np.int32),
        "target": np.array(recording.target),
        "dataset": np.array(recording.dataset),
        "ids": np.array([one.id for one in outputs]),
        "categories": np.array([one.category for one in outputs]),
        "prompt_lengths": np.array([len(one.prompt) for one in outputs], np.int32),
        "output_lengths": np.array([len(one.tokens) for one in outputs], np.int32),
        "tokens": np.concatenate([np.array([*one.prompt, *one.tokens], np.int32) for one in outputs]),
        "row_ids": np.concatenate([one.row_ids.astype(np.int32) for one in outputs]),
        "row_log_probs": np.concatenate([one.row_log_probs.astype(np.float16) for one in outputs]),
    }
    with atomic_file(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def read_recording(path: str | Path) -> Recording:
    """Read and check a recording.

    Raises:
        DynatreeError: the file is missing, damaged or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _from_arrays(arrays)
    except FileNotFoundError as error:
        raise DynatreeError(f"{path} is missing; record it with scripts/record_outputs.py") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise DynatreeError(
            f"{path} is no recording of format {FORMAT} ({error}); record it again with scripts/record_outputs.py"
        ) from error


def _from_arrays(arrays: dict[str, npt.NDArray]) -> Recording:
    if int(arrays["format"]) != FORMAT:
        raise ValueError(f"format {int(arrays['format'])}")
    prompts, outputs = (arrays[name].tolist() for name in LENGTHS)
    ids, categories = (arrays[name].tolist() for name in TEXTS)
    tokens, row_ids, row_log_probs = arrays["tokens"].tolist(), arrays["row_ids"], arrays["row_log_probs"]
    found: list[RecordedOutput] = []
    start = row = 0
    for name, category, before, after in zip(ids, categories, prompts, outputs, strict=True):
        text = tokens[start : start + before + after]
        rows = slice(row, row + after)
        found.append(RecordedOutput(name, category, text[:before], text[before:], row_ids[rows], row_log_probs[rows]))
        start, row = start + before + after, row + after
    recording = Recording(str(arrays["target"]), str(arrays["dataset"]), found)
    if start != len(tokens) or row != len(row_ids) or row_ids.shape != row_log_probs.shape:
        raise ValueError("lengths that do not fit its arrays")
    _check_rows(found)
    return recording


def _check_rows(outputs: Sequence[RecordedOutput]) -> None:
    for one in outputs:
        if not one.prompt or one.row_ids[:, 0].tolist() != one.tokens:
            raise ValueError(f"an output {one.id!r} that is not the most likely one")
