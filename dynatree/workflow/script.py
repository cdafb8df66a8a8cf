"""What the pipeline's scripts share: a note on where outputs come from, and one line for what a user can mend."""

import argparse
import errno
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.provenance import notes
from dynatree.utils.locks import machine_lock

FULL = {errno.ENOSPC, errno.EDQUOT}


def run(
    work: Callable[[], None],
    reads: Iterable[Path | None] = (),
    writes: Iterable[Path] = (),
    arguments: argparse.Namespace | dict | None = None,
    exclusive: bool = False,
) -> None:
    """Run ``work`` and leave a note on where they come from beside its outputs; see :mod:`dynatree.provenance.notes`.

    A mistake of the user's, a full disk and too little memory end the process with one line on stderr and status 2.

    Args:
        work: writes the outputs.
        reads: files and folders that it reads; None is left out.
        writes: the files it writes.
        arguments: what the script was called with.
        exclusive: nothing else of any pipeline may run on this machine meanwhile; see :func:`machine_lock`.
    """
    try:
        with machine_lock(exclusive):
            begun = notes.begin(Path(sys.argv[0]), arguments, reads)
            work()
            notes.finish(begun, writes)
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)


def explain(error: Exception) -> str | None:
    """One line on what is wrong, where, and how to fix it; None for what is no mistake of the user's."""
    if isinstance(error, DynatreeError):
        return str(error)
    if (isinstance(error, OSError) and error.errno in FULL) or "No space left on device" in str(error):
        place = getattr(error, "filename", None) or Path.cwd()
        return f"the disk of {place} is full; free some space and start again: what is finished is kept"
    if _out_of_memory(error):
        wanted = re.search(r"allocate:? ([\d.]+ \w+)", str(error))
        where = "the GPU" if "CUDA" in str(error) else "this machine"
        return (
            f"{where} is out of memory in {sys.argv[0]}{f', which asked for {wanted[1]}' if wanted else ''}; "
            "stop what else uses it, or choose smaller models, a smaller dtype or shorter prompts"
        )
    return None


def _out_of_memory(error: Exception) -> bool:
    """Whether memory ran out. torch, which is not imported here, says so in a RuntimeError."""
    told = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in told)
    )
