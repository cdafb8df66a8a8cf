"""An n-gram model of the target's own text as a source of proposals.

It is counted once, in text that the target sampled, see :mod:`dynatree.distillation.ngram_counts`, and never changes.
So it holds nothing of any request, and it proposes from the first token on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save  # pyright: ignore[reportUnknownVariableType]

from dynatree.drafting.lookup import slots_of
from dynatree.errors import DynatreeError
from dynatree.policies.calibration import MAX_RANK, TABLE, TABLE_LENGTHS, Proposal
from dynatree.utils.files import write_bytes

FILE_NAME = "ngram_table.safetensors"  # in the folder of a draft
ARRAYS = ("contexts", "successors", "probabilities")
SLOTS = [slots_of(f"{TABLE}-{n}") for n in TABLE_LENGTHS]

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float16]


class NGramTable:
    """The most likely successors of contexts, each up to ``TABLE_LENGTHS[-1]`` tokens long.

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
        if contexts.shape != (len(successors), TABLE_LENGTHS[-1]) or successors.shape != probabilities.shape:
            raise ValueError(f"arrays of shapes {contexts.shape}, {successors.shape} and {probabilities.shape}")
        self.contexts, self.successors, self.probabilities = contexts, successors, probabilities
        self.max_token = int(max(contexts.max(initial=-1), successors.max(initial=-1)))
        rows = enumerate(contexts.tolist())
        self._rows = {tuple(token for token in context if token >= 0): row for row, context in rows}
        self._known: dict[tuple[int, ...], list[Proposal]] = {}  # proposals of the contexts that were looked up

    def propose(self, context: tuple[int, ...]) -> list[Proposal]:
        """Return the successors of the longest end of ``context`` that the table has."""
        for n in reversed(TABLE_LENGTHS):
            latest = context[-n:]
            if latest in self._rows:
                if latest not in self._known:
                    self._known[latest] = self._read(latest)
                return self._known[latest]
        return []

    def _read(self, context: tuple[int, ...]) -> list[Proposal]:
        row, slots = self._rows[context], SLOTS[len(context) - 1]
        ranked = enumerate(zip(self.successors[row].tolist(), self.probabilities[row].tolist(), strict=True))
        return [Proposal(token, slots[min(rank, MAX_RANK)], share) for rank, (token, share) in ranked if share > 0]


class TableLookup:
    """Proposals from an n-gram table.

    Args:
        table: of the target.
    """

    name: ClassVar[str] = TABLE
    recycles: ClassVar[bool] = False

    def __init__(self, table: NGramTable):
        self._table = table

    def read(self, tokens: Sequence[int]) -> None:
        """Ignore the text; the table does not change."""

    def propose(self, context: tuple[int, ...], count: int) -> list[Proposal]:
        """Return at most ``count`` successors, see :meth:`dynatree.drafting.lookup.Lookup.propose`."""
        return self._table.propose(context)[:count]

    def observe(self, context: tuple[int, int], tokens: list[int], log_probs: list[float]) -> None:
        """Ignore the target's predictions; the table does not change."""

    def observe_root(self, tokens: list[int], log_probs: list[float]) -> None:
        """Ignore the target's predictions; the table does not change."""


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
