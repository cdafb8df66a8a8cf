"""Runs that are killed, and runs side by side, in a copy of the repository."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.repository_copy import copy_repository, snakemake

TREE = "results/ci/tree.json"


@pytest.fixture
def running(tmp_path):
    """A copy in which a workflow runs a job that waits; the workflow, the copy and the file that lets the job go on."""
    folder = copy_repository(tmp_path / "copy")
    go = tmp_path / "go"
    script = folder / "scripts/draft_tree.py"
    gate = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists():\n    time.sleep(0.1)\n"
    script.write_text(gate + script.read_text())
    assert snakemake(folder, "results/ci/prompts/narrative.json").returncode == 0
    command = [sys.executable, "-m", "snakemake", TREE, "--cores", "2", "--configfile", "config/ci.yaml"]
    workflow = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = folder / "results/ci/logs/draft_tree.log"
    deadline = time.monotonic() + 120
    while not log.exists():
        assert workflow.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield workflow, folder, go
    go.touch()
    workflow.kill()
    workflow.wait()


def locks(folder: Path) -> list[Path]:
    return list((folder / ".snakemake/locks").glob("*.lock"))


def test_a_plain_restart_goes_on_after_a_kill(running):
    workflow, folder, go = running
    assert locks(folder)
    workflow.send_signal(signal.SIGKILL)
    workflow.wait()
    assert locks(folder), "the kill must leave the locks, or this test shows nothing"
    looked = snakemake(folder, TREE, "-n")
    assert "Directory cannot be locked" in looked.stdout + looked.stderr
    assert locks(folder), "a dry run changes nothing"
    go.touch()
    done = snakemake(folder, TREE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "an earlier run of this folder was killed; its locks are removed" in done.stderr
    assert (folder / TREE).exists()
    assert not locks(folder)
    assert "Nothing to be done" in snakemake(folder, TREE).stderr


def test_a_second_live_workflow_is_refused(running):
    workflow, folder, go = running
    second = snakemake(folder, TREE)
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.stdout + second.stderr
    assert locks(folder)
    go.touch()
    assert workflow.wait(timeout=120) == 0
    assert (folder / TREE).exists()
