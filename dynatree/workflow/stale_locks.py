"""Take a folder over from a workflow that was killed, and only from a dead one."""

import fcntl
import os
import socket
import sys
from pathlib import Path

HOLDERS = Path(".snakemake/dynatree-hosts")


def take_over(folder: Path) -> bool:
    """Register this process as a live workflow in ``folder``; remove the locks of one that was killed.

    Every live workflow holds a shared lock until it ends, however it ends; the jobs that it starts do not inherit
    it. Who can get the lock alone knows that no other workflow of this host lives here. What another host left is
    never touched, because a lock does not always reach across a network file system.

    Args:
        folder: the working directory of the workflow.

    Returns:
        Whether no other workflow lives here.
    """
    path = folder / HOLDERS
    path.parent.mkdir(exist_ok=True)
    # Never closed: the kernel does that when the process ends.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
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
    path.write_text(f"{here}\n")
