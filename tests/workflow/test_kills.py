"""Workflows and jobs that are ended while they measure or write, and what a restart then does."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.support.repository_copy import copy_repository, snakemake

CONFIG = "slow.yaml"
RECORD = "results/ci/records/sweep-narrative.json"
TREE = "results/ci/tree.json"
KILL_BEFORE_RENAME = f"""
import os, pathlib, signal

rename = os.replace

def replace(source, goal):
    flag = pathlib.Path("killed")
    if str(goal).endswith({Path(TREE).name!r}) and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, goal)

os.replace = replace
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A copy with models and prompts, whose requests are long enough to be interrupted."""
    folder = copy_repository(tmp_path_factory.mktemp("prepared") / "copy")
    config = yaml.safe_load((folder / "config/ci.yaml").read_text())
    config["experiments"]["sweep"]["new_tokens"] = 300
    (folder / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False))
    names = [f"results/ci/prompts/{name}.json" for name in ("narrative", "encyclopaedic")]
    done = snakemake(folder, *names, config=CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def copy(prepared, tmp_path) -> Path:
    return Path(subprocess.run(["cp", "-a", prepared, tmp_path / "copy"], check=True).args[-1])


def journal(folder: Path) -> list[bytes]:
    path = folder / "results/ci/journals/sweep-narrative.jsonl"
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def measured(lines: list[bytes]) -> Counter:
    """How often each request but those of the baseline is in the journal."""
    records = [json.loads(line) for line in lines]
    return Counter(
        (record["prompt"], record["case"])
        for record in records
        if "case" in record and record["case"] != "autoregressive"
    )


def jobs(folder: Path) -> list[int]:
    """Processes that measure in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"scripts/benchmark.py" in command and (process / "cwd").resolve() == folder:
                found.append(int(process.name))
        except OSError:  # it has ended
            continue
    return found


def wait(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "it ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def interrupted(folder: Path, victim: str, number: signal.Signals) -> list[bytes]:
    """Start measuring, end the workflow or its job after three lines; what the journal held then."""
    command = [sys.executable, "-m", "snakemake", RECORD, "--cores", "2", "--configfile", CONFIG]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # a shell lets its background jobs ignore SIGINT, and so would everything below them
    hear = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    workflow = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, preexec_fn=hear, **quiet)
    try:
        wait(lambda: len(journal(folder)) >= 3, workflow)
        before = journal(folder)
        if victim == "job":
            for process in jobs(folder):
                os.kill(process, number)
        elif number == signal.SIGINT:  # as the terminal sends it, to everything in the foreground
            os.killpg(workflow.pid, number)
        else:
            workflow.send_signal(number)
        workflow.wait(timeout=120)
        if (victim, number) != ("workflow", signal.SIGTERM):  # then Snakemake lets its running job finish
            assert not (folder / RECORD).exists()
        return before
    finally:
        workflow.kill()


@pytest.mark.parametrize(
    ("victim", "number"),
    [
        ("workflow", signal.SIGINT),
        ("workflow", signal.SIGTERM),
        ("workflow", signal.SIGKILL),
        ("job", signal.SIGTERM),
        ("job", signal.SIGKILL),
    ],
)
def test_a_restart_repeats_no_finished_request(copy, victim, number):
    before = interrupted(copy, victim, number)
    done = snakemake(copy, RECORD, config=CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr
    now = journal(copy)
    assert now[: len(before)] == before
    counts = measured(now)
    assert set(counts.values()) == {1}, "a finished request was measured again"
    records = json.loads((copy / RECORD).read_text())["records"]
    assert {(record["prompt"], record["case"]) for record in records} >= set(counts)
    assert "Nothing to be done" in snakemake(copy, RECORD, config=CONFIG).stderr
    assert jobs(copy) == []


def test_a_job_killed_before_its_output_is_renamed_leaves_none(copy):
    (copy / "sitecustomize.py").write_text(KILL_BEFORE_RENAME)
    done = snakemake(copy, TREE, config=CONFIG)
    assert done.returncode != 0
    assert (copy / "killed").exists()
    assert not (copy / TREE).exists()
    done = snakemake(copy, TREE, config=CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((copy / TREE).read_text())
