"""Locks of killed workflows are removed; locks of live workflows and of other hosts stay."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dynatree.workflow.stale_locks import HOLDERS

WORKFLOW = """
import subprocess, sys, time
from pathlib import Path
from dynatree.workflow.stale_locks import take_over
print(take_over(Path(sys.argv[1])), flush=True)
job = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
print(job.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def lock(tmp_path) -> Path:
    path = tmp_path / ".snakemake/locks/0.output.lock"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def start(tmp_path):
    """A function that starts a workflow with a job and returns its process and True if it is alone."""
    started, jobs = [], []

    def start() -> tuple[subprocess.Popen, bool]:
        command = [sys.executable, "-c", WORKFLOW, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        alone = process.stdout.readline().strip() == "True"
        jobs.append(process.stdout.readline().strip())
        return process, alone

    yield start
    for process in started:
        process.kill()
        process.wait()
    subprocess.run(["kill", *jobs], check=False)


def test_the_locks_of_a_killed_workflow_are_removed_although_its_jobs_live(start, lock):
    process, alone = start()
    assert alone
    lock.write_text("results/x\n")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert start()[1]
    assert not lock.exists()


def test_the_locks_of_a_live_workflow_stay_when_another_ends(start, lock):
    start()
    lock.write_text("results/x\n")
    second, alone = start()
    assert not alone
    second.kill()
    second.wait()
    assert not start()[1]
    assert lock.exists()


@pytest.mark.parametrize("holder", ["another-host\n", None])
def test_the_locks_of_another_host_stay(start, lock, tmp_path, holder):
    if holder:
        (tmp_path / HOLDERS).write_text(holder)
    lock.write_text("results/x\n")
    assert start()[1]
    assert start()[1] is False
    assert lock.exists()
