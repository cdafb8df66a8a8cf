"""Locks between processes: undisturbed timings, and one writer per folder."""

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def machine_lock(exclusive: bool) -> Iterator[None]:
    """Hold the lock of the machine: a timing holds it exclusively, and all other work shares it.

    Every process of the pipeline takes this lock, across all workflows on the machine. The kernel releases it when
    the process ends, even if it is killed.

    Args:
        exclusive: hold the lock alone.
    """
    path = Path(tempfile.gettempdir()) / "dynatree-machine.lock"
    with file_lock(path, exclusive, "a timing on this machine" if not exclusive else "other work on this machine"):
        yield


@contextmanager
def file_lock(path: Path, exclusive: bool, holder: str) -> Iterator[None]:
    """Hold a lock on a file. Before a wait, print one line on stderr that names the ``holder``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        how = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for {holder} to finish (lock {path})", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
