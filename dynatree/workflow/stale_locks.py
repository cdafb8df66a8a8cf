"""Removal of the locks of a killed workflow, never those of a live one."""

import fcntl
import socket
import sys
from pathlib import Path

from dynatree.utils.locks import open_shared

HOLDERS = Path(".snakemake/dynatree-hosts")


def take_over(folder: Path) -> bool:
    """Register this process as a live workflow in ``folder`` and remove the locks of a killed one.

    Every live workflow holds a shared lock until its process ends. Its jobs do not inherit the lock. A workflow that
    gets the exclusive lock is therefore the only one of this host in the folder. Locks of another host stay, because a
    file lock is not always visible across a network file system.

    Args:
        folder: The working directory of the workflow.

    Returns:
        True if no other workflow of this host is live in the folder.
    """
    path = folder / HOLDERS
    path.parent.mkdir(exist_ok=True)
    # The lock must last as long as the process, so only the kernel closes the file.
    descriptor = open_shared(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return False
    _clear(path, list((folder / ".snakemake/locks").glob("*.lock")))
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return True


def _clear(path: Path, left: list[Path]) -> None:
    here = socket.gethostname()
    before = path.read_text().strip()
    if left and before != here:
        return
    if left:
        print("an earlier run of this folder was killed; its locks are removed", file=sys.stderr, flush=True)
    for lock in left:
        lock.unlink()
    if before != here:
        path.write_text(f"{here}\n")
