"""Jobs of a killed workflow in the queue of Slurm."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from dynatree.errors import DynatreeError

PREFIX = "dynatree"
LOGS = Path("results/logs/slurm")


def wait_for_jobs(folder: Path, seconds: float = 10) -> None:
    """Wait until no job of the folder is in the queue of Slurm, and name the jobs in one line on stderr.

    Return at once in a folder that never submitted a job, and on a machine without Slurm.

    Args:
        folder: The working directory of the workflow.
        seconds: The time between two queries of the queue.

    Raises:
        DynatreeError: Slurm does not answer.
    """
    if not (folder / LOGS).exists() or not shutil.which("squeue"):
        return
    named: list[str] = []
    while found := jobs_of(folder):
        if found != named:
            names = " ".join(found)
            print(
                f"waiting for jobs {names} of an earlier run, still in Slurm's queue (to end them: scancel {names})",
                file=sys.stderr,
                flush=True,
            )
        named = found
        time.sleep(seconds)


def jobs_of(folder: Path) -> list[str]:
    """Return the ids of the pending and running jobs that workflows in ``folder`` submitted.

    Args:
        folder: The working directory of the workflows.

    Raises:
        DynatreeError: Slurm does not answer.
    """
    command = ["squeue", "--me", "--noheader", "--format=%i|%j|%Z"]
    asked = subprocess.run(command, capture_output=True, text=True)
    if asked.returncode:
        raise DynatreeError(
            f"squeue failed, so jobs of an earlier run may be left ({asked.stderr.strip()}); "
            f"start again when Slurm answers, or delete {LOGS} if none can be left"
        )
    jobs = [line.split("|", 2) for line in asked.stdout.splitlines() if line]
    place = folder.resolve()
    return [job for job, name, where in jobs if name.startswith(f"{PREFIX}_") and Path(where).resolve() == place]
