"""The frame of every script of the pipeline: provenance notes, and one line for each error that a user can fix."""

import argparse
import errno
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.provenance import notes
from dynatree.utils.files import DISK_FULL
from dynatree.utils.locks import machine_lock

NO_ACCESS = {errno.EACCES, errno.EPERM, errno.EROFS}  # error numbers of missing rights and of read-only file systems


def run(
    work: Callable[[], None],
    reads: Iterable[Path | None] = (),
    writes: Iterable[Path] = (),
    arguments: argparse.Namespace | dict | None = None,
    exclusive: bool = False,
    code: Iterable[str | Path] = (),
) -> None:
    """Run ``work`` and write a note beside each of its outputs; see :mod:`dynatree.provenance.notes`.

    A DynatreeError, a full disk, a file without access and too little memory end the process with one line on stderr
    and status 2.

    Args:
        work: The function that writes the outputs.
        reads: The files and folders that it reads; None is skipped.
        writes: The files that it writes.
        arguments: The arguments of the script.
        exclusive: True if no other job of any pipeline may run on this machine; see :func:`machine_lock`.
        code: The files that the script imports by a computed name.
    """
    try:
        with machine_lock(exclusive):
            begun = notes.begin(Path(sys.argv[0]), arguments, reads, code)
            work()
            notes.finish(begun, writes)
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)


def explain(error: Exception) -> str | None:
    """Return one line on what is wrong, where, and how to fix it, or None for an error that a user cannot fix."""
    if isinstance(error, DynatreeError):
        return str(error)
    if (isinstance(error, OSError) and error.errno in DISK_FULL) or "No space left on device" in str(error):
        place = getattr(error, "filename", None) or Path.cwd()
        return f"the disk of {place} is full; free some space and start again: what is finished is kept"
    if isinstance(error, OSError) and error.errno in NO_ACCESS:
        place = getattr(error, "filename", None) or Path.cwd()
        return (
            f"{place} cannot be used ({error.strerror}); give this user access to it, or work in another folder, and "
            "start again: what is finished is kept"
        )
    if _out_of_memory(error):
        wanted = re.search(r"allocate:? ([\d.]+ \w+)", str(error))
        where = "the GPU" if "CUDA" in str(error) else "this machine"
        return (
            f"{where} is out of memory in {sys.argv[0]}{f', which asked for {wanted[1]}' if wanted else ''}; "
            "stop what else uses it, or choose smaller models, a smaller dtype or shorter prompts"
        )
    return None


def _out_of_memory(error: Exception) -> bool:
    """Return True if memory ran out. torch, which is not imported here, raises a RuntimeError then."""
    messages = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(message in str(error) for message in messages)
    )
