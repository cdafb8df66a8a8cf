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
        ValueError: the shapes of the arrays do not fit.
    """

    def __init__(self, contexts: IntArray, successors: IntArray, probabilities: FloatArray):
        if contexts.ndim != 2 or len(contexts) != len(successors) or successors.shape != probabilities.shape:
            raise ValueError(f"arrays of shapes {contexts.shape}, {successors.shape} and {probabilities.shape}")
        self.contexts, self.successors, self.probabilities = contexts, successors, probabilities
        self.max_token = int(max(contexts.max(initial=-1), successors.max(initial=-1)))
        rows = enumerate(contexts.tolist())
        self._rows = {tuple(token for token in context if token >= 0): row for row, context in rows}

    def known_end(self, context: tuple[int, ...]) -> tuple[int, ...]:
        """Return the longest end of ``context`` that the table has; empty if it has none."""
        for n in range(self.contexts.shape[1], 0, -1):
            if context[-n:] in self._rows:
                return context[-n:]
        return ()

    def successors_of(self, context: tuple[int, ...]) -> list[tuple[int, float]]:
        """Return the successors of a context that the table has, each with its probability, the most likely first."""
        row = self._rows[context]
        ranked = zip(self.successors[row].tolist(), self.probabilities[row].tolist(), strict=True)
        return [(token, share) for token, share in ranked if share > 0]


def save_table(table: NGramTable, path: str | Path) -> None:
    """Write a table atomically.

    Raises:
        OSError: the disk is full or the folder is not writable.
    """
    write_bytes(path, save({name: getattr(table, name) for name in ARRAYS}))


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
