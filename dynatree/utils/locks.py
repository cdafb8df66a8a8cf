"""Locks between processes: undisturbed timings, and one writer per folder."""

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dynatree.errors import DynatreeError

ATTEMPTS = 5
PAUSE = 0.1  # seconds


@contextmanager
def machine_lock(exclusive: bool) -> Iterator[None]:
    """Hold the lock of the machine: a timing holds it exclusively, and all other work shares it.

    Every process of the pipeline takes this lock, across all workflows on the machine. The kernel releases it when
    the process ends, even if it is killed.

    Args:
        exclusive: hold the lock alone.

    Raises:
        DynatreeError: no temporary folder is writable, or the lock file is another user's alone.
    """
    try:
        path = Path(tempfile.gettempdir()) / "dynatree-machine.lock"
    except FileNotFoundError as error:
        raise DynatreeError("no temporary folder is writable; let TMPDIR name one") from error
    with file_lock(path, exclusive, "a timing on this machine" if not exclusive else "other work on this machine"):
        yield


@contextmanager
def file_lock(path: Path, exclusive: bool, holder: str) -> Iterator[int]:
    """Hold a lock on a file, and yield its descriptor. A child process that inherits the descriptor holds the lock too.

    Before a wait, print one line on stderr that names the ``holder``.

    Raises:
        DynatreeError: another user owns the file and does not let this one read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = open_shared(path)
    try:
        how = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for {holder} to finish (lock {path})", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        os.close(descriptor)


def open_shared(path: Path) -> int:
    """Return a descriptor of a lock file that all users may open; create the file if it is missing.

    The kernel may refuse O_CREAT for a file of another user in a folder like /tmp, even if all may write to it
    (fs.protected_regular). A lock needs no write access, except on a network file system.

    Raises:
        DynatreeError: another user owns the file and does not let this one read it.
    """
    for attempt in range(ATTEMPTS):
        for flags in (os.O_RDWR, os.O_RDONLY):
            with suppress(FileNotFoundError, PermissionError):
                return os.open(path, flags)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            time.sleep(PAUSE * bool(attempt))  # its creator may not have set its mode yet
        else:
            os.fchmod(descriptor, 0o666)  # whatever the umask
            return descriptor
    raise DynatreeError(
        f"the lock file {path} belongs to {_owner(path)} and cannot be opened; ask them to run `chmod a+rw {path}`"
    )


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # a user without a name, as in many containers
        return f"user {path.stat().st_uid}"
