"""Workflows and jobs that end while they measure or write, and the restart after that."""

import functools
import json
import os
import shlex
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace

import pytest
import yaml

from dynatree.config.load import load_config
from tests.support.repository_copy import Checkout

pytestmark = pytest.mark.xdist_group("prepared copy")

NIGHTLY = pytest.mark.nightly
CONFIG = "slow.yaml"
RECORD = "results/ci/records/sweep-narrative.json"
JOURNAL = "results/ci/journals/sweep-narrative.jsonl"
TREE = "results/ci/tree.json"
KILL_BEFORE_RENAME = """
import os, pathlib, signal

rename = os.replace

def replace(source, goal):
    if str(goal).endswith("tree.json"):
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, goal)

os.replace = replace
"""


@pytest.fixture
def slow(copy) -> Checkout:
    """A copy in which a request takes long enough to be interrupted."""
    config = load_config(copy / "config/ci.yaml")
    config["experiments"]["sweep"] |= {"new_tokens": 120, "lengths": [1, 2], "depths": [2], "branches": [2]}
    (copy / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False))
    return replace(copy, config=CONFIG)


def journal(checkout: Checkout) -> list[bytes]:
    path = checkout / JOURNAL
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def measured(lines: list[bytes]) -> Counter:
    """Count the requests of a journal, except those of the baseline, which every session measures again."""
    records = [json.loads(line) for line in lines]
    return Counter(
        (record["prompt"], record["case"])
        for record in records
        if "case" in record and record["case"] != "autoregressive"
    )


def start(checkout: Checkout, command: list[str]) -> subprocess.Popen:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # A shell makes its background jobs ignore SIGINT, and all their children inherit that.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command, cwd=checkout.folder, env=checkout.environment(), start_new_session=True, preexec_fn=heed, **quiet
    )


def wait_for_three_lines(checkout: Checkout, process: subprocess.Popen) -> list[bytes]:
    deadline = time.monotonic() + 120
    while len(journal(checkout)) < 3:
        assert process.poll() is None, "it ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return journal(checkout)


def job(checkout: Checkout, output: str) -> list[str]:
    """Return the command by which Snakemake makes an output, without its redirections."""
    shown = checkout.make(output, "-n", "--printshellcmds")
    (command,) = [shlex.split(line) for line in shown.splitlines() if f"--output {output}" in line]
    command = command[command.index("python") : command.index("2>&1")]
    return [word for word in command if not word.startswith(">")]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(one, marks=NIGHTLY) for one in (signal.SIGKILL, signal.SIGTERM))]
)
def test_a_restart_of_a_killed_workflow_repeats_no_finished_request(slow, number):
    killable = slow.with_ordinary_python()
    workflow = start(killable, killable.command(RECORD))
    before = wait_for_three_lines(slow, workflow)
    if number == signal.SIGINT:  # as the terminal sends it, to everything in the foreground
        os.killpg(workflow.pid, number)
    else:
        workflow.send_signal(number)
    workflow.wait(timeout=120)
    finishes = number == signal.SIGTERM  # Snakemake lets the running jobs finish and starts no others
    assert (slow / RECORD).exists() == finishes
    slow.make(RECORD)
    check_journal(slow, before)


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, *(pytest.param(one, marks=NIGHTLY) for one in (signal.SIGTERM, signal.SIGINT))]
)
def test_a_restart_of_a_killed_job_repeats_no_finished_request(slow, number):
    process = start(slow.with_ordinary_python(), job(slow, RECORD))
    before = wait_for_three_lines(slow, process)
    process.send_signal(number)
    process.wait(timeout=120)
    assert not (slow / RECORD).exists()
    slow.make(RECORD)
    check_journal(slow, before)


def check_journal(checkout: Checkout, before: list[bytes]) -> None:
    """Check that a restart kept the lines of the journal and measured every other request once."""
    lines = journal(checkout)
    assert lines[: len(before)] == before
    assert set(measured(lines).values()) == {1}, "a finished request was measured again"
    records = json.loads((checkout / RECORD).read_text())["records"]
    assert {(record["prompt"], record["case"]) for record in records} >= set(measured(lines))


def test_a_job_killed_before_its_output_is_renamed_leaves_none(copy):
    (copy / "sitecustomize.py").write_text(KILL_BEFORE_RENAME)
    process = start(copy.with_ordinary_python(), job(copy, TREE))
    assert process.wait(timeout=120) == -signal.SIGKILL
    assert not (copy / TREE).exists()
    copy.make(TREE)
    assert json.loads((copy / TREE).read_text())
