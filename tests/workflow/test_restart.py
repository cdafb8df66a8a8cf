"""A restart after a kill, and two workflows in one folder."""

import signal
import subprocess
import time

import pytest

from tests.support.repository_copy import Checkout

pytestmark = pytest.mark.xdist_group("prepared copy")

TREE = "results/ci/tree.json"


@pytest.fixture
def running(copy, tmp_path):
    """A copy in which a workflow runs a job that waits: the workflow, the copy and the file that ends the waiting."""
    go = tmp_path / "go"
    script = copy / "scripts/draft_tree.py"
    gate = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists():\n    time.sleep(0.1)\n"
    script.write_text(gate + script.read_text())
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    killable = copy.with_ordinary_python()
    workflow = subprocess.Popen(killable.command(TREE), cwd=copy.folder, env=killable.environment(), **quiet)
    log = copy / "results/ci/logs/draft_tree.log"
    deadline = time.monotonic() + 120
    while not log.exists():
        assert workflow.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield workflow, copy, go
    go.touch()
    workflow.kill()
    workflow.wait()


def has_locks(copy: Checkout) -> bool:
    return any((copy / ".snakemake/locks").glob("*.lock"))


def test_a_restart_goes_on_after_a_kill_and_a_second_live_workflow_is_refused(running):
    workflow, copy, go = running
    second = copy.snakemake(TREE)
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.stdout + second.stderr
    assert has_locks(copy)
    workflow.send_signal(signal.SIGKILL)
    workflow.wait()
    assert has_locks(copy), "the kill must leave the locks, or this test shows nothing"
    dry_run = copy.snakemake(TREE, "-n")
    assert "Directory cannot be locked" in dry_run.stdout + dry_run.stderr
    assert has_locks(copy), "a dry run changes nothing"
    go.touch()
    assert "an earlier run of this folder was killed; its locks are removed" in copy.make(TREE)
    assert (copy / TREE).exists()
    assert not has_locks(copy)
    assert "Nothing to be done" in copy.make(TREE, "-n")


@pytest.mark.nightly
def test_two_workflows_in_two_folders_take_turns(copy, prepared, tmp_path):
    record = "results/ci/records/sweep-narrative.json"
    copies = [copy, prepared.copy(tmp_path / "second")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = [subprocess.Popen(one.command(record), cwd=one.folder, env=one.environment(), **pipes) for one in copies]
    for workflow, one in zip(started, copies, strict=True):
        shown, _ = workflow.communicate(timeout=600)
        assert workflow.returncode == 0, shown
        assert (one / record).exists()
        assert "Nothing to be done" in one.make(record, "-n")
