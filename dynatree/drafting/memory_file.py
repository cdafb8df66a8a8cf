"""Files of memories: a .npz file of arrays without pickled objects; equal memories are equal byte for byte."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dynatree.drafting.lookup import CONTEXT
from dynatree.drafting.memory import SUCCESSORS, Memory
from dynatree.errors import DynatreeError
from dynatree.models.pair import ModelPair
from dynatree.models.supported import vocabulary_size
from dynatree.utils.files import atomic_file

FORMAT = 1
EMPTY = -1  # in the place of a token id


def save_memory(pair: ModelPair, path: str | Path) -> None:
    """Write the memory of a pair atomically. The file contains tokens of past outputs.

    Args:
        pair: its requests had the option ``memory`` of "cost_aware".
        path: file that is replaced.

    Raises:
        DynatreeError: the pair has no memory.
        OSError: the disk is full or the folder is not writable.
    """
    memory = pair.state.memory
    if memory is None:
        raise DynatreeError("the pair has no memory of past outputs; give a request the option memory=50_000 first")
    predictions = list(memory.predictions.values())
    width = max((len(ids) for ids, _ in predictions), default=0)
    arrays = {
        "format": np.array(FORMAT, np.int32),
        "vocabulary": np.array(vocabulary_size(pair.target), np.int32),
        "limit": np.array(memory.limit, np.int64),
        "ngrams": _filled(list(memory.successors), CONTEXT),
        "successors": _filled([list(found) for found in memory.successors.values()], SUCCESSORS),
        "contexts": _filled(list(memory.predictions), 2),
        "predictions": _filled([ids for ids, _ in predictions], width),
        "log_probs": _filled([row for _, row in predictions], width, 0.0, np.float32),
    }
    with atomic_file(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def load_memory(pair: ModelPair, path: str | Path) -> None:
    """Replace the memory of a pair by that of a file. Requests with the option ``memory`` look it up.

    Args:
        pair: a pair with the vocabulary of the pair that was saved.
        path: file of :func:`save_memory`.

    Raises:
        DynatreeError: the file is missing, damaged, of another format or of another vocabulary.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        memory, vocabulary = _memory(arrays), int(arrays["vocabulary"])
    except FileNotFoundError as error:
        raise DynatreeError(f"{path} is missing; write it with save_memory") from error
    except (OSError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile, EOFError) as error:
        raise DynatreeError(f"{path} is no memory of format {FORMAT} ({error}); save it again") from error
    if vocabulary != vocabulary_size(pair.target):
        raise DynatreeError(
            f"{path} holds tokens of a vocabulary of {vocabulary}, but the target has {vocabulary_size(pair.target)}; "
            "load it into the pair that saved it"
        )
    pair.state.memory = memory


def _filled(
    rows: Sequence[Sequence[float]], width: int, empty: float = EMPTY, dtype: npt.DTypeLike = np.int32
) -> npt.NDArray[Any]:
    """Return rows of different lengths as an array [rows, width]."""
    return np.array([[*row, *[empty] * (width - len(row))] for row in rows], dtype).reshape(len(rows), width)


def _memory(arrays: dict[str, npt.NDArray[Any]]) -> Memory:
    if int(arrays["format"]) != FORMAT:
        raise ValueError(f"format {int(arrays['format'])}")
    vocabulary = int(arrays["vocabulary"])
    ngrams, successors, contexts, predictions = (
        _rows(arrays[name], vocabulary) for name in ("ngrams", "successors", "contexts", "predictions")
    )
    memory = Memory(int(arrays["limit"]))
    memory.successors.update(
        (tuple(ngram), dict.fromkeys(found)) for ngram, found in zip(ngrams, successors, strict=True)
    )
    log_probs = arrays["log_probs"]
    if log_probs.shape != arrays["predictions"].shape or not (log_probs <= 0).all():
        raise ValueError("log-probabilities that do not fit")
    for context, ids, row in zip(contexts, predictions, log_probs.tolist(), strict=True):
        memory.predictions[tuple(context)] = ids, row[: len(ids)]
    memory.resize(memory.limit)
    return memory


def _rows(array: npt.NDArray[Any], vocabulary: int) -> list[list[int]]:
    """Return the rows of an array without EMPTY; raise ValueError unless all are token ids."""
    if array.dtype != np.int32 or array.ndim != 2:
        raise ValueError("no rows of token ids")
    if array.size and not EMPTY <= array.min() <= array.max() < vocabulary:
        raise ValueError("token ids beyond the vocabulary")
    return [[token for token in row if token != EMPTY] for row in array.tolist()]
