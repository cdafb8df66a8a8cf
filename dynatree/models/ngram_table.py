"""A table of the target's likely successors of its latest tokens.

It is counted once, in text that the target sampled, see :mod:`dynatree.distillation.ngram_counts`, and never changes.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save  # pyright: ignore[reportUnknownVariableType]

from dynatree.errors import DynatreeError
from dynatree.utils.files import write_bytes

FILE_NAME = "ngram_table.safetensors"  # in the folder of a draft
ARRAYS = ("contexts", "successors", "probabilities")
TOKEN_BITS = 21  # of a token id plus one in a key
LONGEST = 63 // TOKEN_BITS  # tokens of a context whose key fits 64 bits

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float16]


class NGramTable:
    """The most likely successors of contexts of one or more tokens.

    Args:
        contexts: [contexts, longest] int32 token ids, the latest last; -1 on the left of shorter contexts.
        successors: [contexts, width] int32 token ids, the most likely first.
        probabilities: [contexts, width] float16; 0 in places without a successor.

    Attributes:
        max_token: largest token id.

    Raises:
        ValueError: the shapes of the arrays do not fit, or a context or a token id is too large.
    """

    def __init__(self, contexts: IntArray, successors: IntArray, probabilities: FloatArray):
        if contexts.ndim != 2 or len(contexts) != len(successors) or successors.shape != probabilities.shape:
            raise ValueError(f"arrays of shapes {contexts.shape}, {successors.shape} and {probabilities.shape}")
        self.contexts, self.successors, self.probabilities = contexts, successors, probabilities
        self.max_token = int(max(contexts.max(initial=-1), successors.max(initial=-1)))
        if contexts.shape[1] > LONGEST or self.max_token + 1 >= 1 << TOKEN_BITS:
            raise ValueError(f"contexts of {contexts.shape[1]} tokens, token id {self.max_token}")
        keys = np.zeros(len(contexts), np.int64)
        for column in contexts.T:
            keys = keys << TOKEN_BITS | column + 1
        # Of integers alone, so that the garbage collector need not look at the entries.
        self._rows = dict(zip(keys.tolist(), range(len(keys)), strict=True))

    def known_end(self, context: tuple[int, ...]) -> tuple[int, ...]:
        """Return the longest end of ``context`` that the table has; empty if it has none."""
        for n in range(min(self.contexts.shape[1], len(context)), 0, -1):
            if _key(context[-n:]) in self._rows:
                return context[-n:]
        return ()

    def successors_of(self, context: tuple[int, ...]) -> list[tuple[int, float]]:
        """Return the successors of a context that the table has, each with its probability, the most likely first."""
        row = self._rows[_key(context)]
        ranked = zip(self.successors[row].tolist(), self.probabilities[row].tolist(), strict=True)
        return [(token, share) for token, share in ranked if share > 0]


def _key(context: tuple[int, ...]) -> int:
    """Return the integer by which a context is found; shorter contexts have smaller ones."""
    key = 0
    for token in context:
        key = key << TOKEN_BITS | token + 1
    return key


def save_table(table: NGramTable, path: str | Path) -> None:
    """Write a table atomically.

    Raises:
        OSError: the disk is full or the folder is not writable.
    """
    write_bytes(path, save({name: getattr(table, name) for name in ARRAYS}))


def table_in(folder: str | Path) -> NGramTable | None:
    """Return the table in the folder of a draft; None if it has none.

    Raises:
        DynatreeError: the table is damaged.
    """
    path = Path(folder) / FILE_NAME
    return load_table(path) if path.is_file() else None


def load_table(path: str | Path) -> NGramTable:
    """Load a table.

    Args:
        path: file of :func:`save_table`.

    Raises:
        DynatreeError: the file is missing, damaged or no such table.
    """
    try:
        arrays = load_file(path)
        return NGramTable(*(arrays[name] for name in ARRAYS))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DynatreeError(f"the n-gram table {path} is missing or damaged ({error}); restore it") from error
