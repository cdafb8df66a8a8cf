"""Jobs that a killed workflow left in Slurm's queue."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from dynatree.errors import DynatreeError

PREFIX = "dynatree"
LOGS = Path("results/logs/slurm")


def wait_for_jobs(folder: Path, seconds: float = 10) -> None:
    """Wait until none of the folder's jobs is in Slurm's queue, with one line on stderr that names them.

    A folder that never submitted a job, and a machine without Slurm, are not asked.

    Args:
        folder: the working directory of the workflow.
        seconds: between two looks at the queue.

    Raises:
        DynatreeError: Slurm does not answer.
    """
    if not (folder / LOGS).exists() or not shutil.which("squeue"):
        return
    told: list[str] = []
    while found := jobs_of(folder):
        if found != told:
            names = " ".join(found)
            print(
                f"waiting for jobs {names} of an earlier run, still in Slurm's queue (to end them: scancel {names})",
                file=sys.stderr,
                flush=True,
            )
        told = found
        time.sleep(seconds)


def jobs_of(folder: Path) -> list[str]:
    """The ids of the jobs that workflows in ``folder`` submitted and that wait or run.

    Raises:
        DynatreeError: Slurm does not answer.
    """
    command = ["squeue", "--me", "--noheader", "--format=%i|%j|%Z"]
    asked = subprocess.run(command, capture_output=True, text=True)
    if asked.returncode:
        raise DynatreeError(
            f"squeue does not say whether jobs of an earlier run are left ({asked.stderr.strip()}); "
            f"start again when Slurm answers, or delete {LOGS} if none can be left"
        )
    jobs = [line.split("|", 2) for line in asked.stdout.splitlines() if line]
    place = folder.resolve()
    return [job for job, name, where in jobs if name.startswith(f"{PREFIX}_") and Path(where).resolve() == place]
