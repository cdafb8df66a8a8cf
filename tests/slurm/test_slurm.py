"""The pipeline on a real Slurm of one node."""

import json
import re
import signal
from collections import Counter
from itertools import pairwise

import pytest

from dynatree.workflow.slurm import jobs_of
from tests.slurm.runs import LOCAL, SLURM, SUBMITTED, TREE, wait


def test_every_rule_of_the_profile_goes_through_slurm(submitted):
    assert all((submitted.folder / name).stat().st_size > 500 for name in SUBMITTED)
    assert set(submitted.states()) == {"COMPLETED"}
    rules = Counter(re.match(r"rule_([a-z_]+?)(_wildcards|$)", job["Comment"])[1] for job in submitted.jobs())
    once = ("measure_memory", "measure_latency", "draft_tree", "record_outputs", "analyze_heads", "measure_compression")
    assert rules == {"measure": 3} | dict.fromkeys(once, 1)


@pytest.mark.parametrize("profile", [SLURM, LOCAL])
def test_nothing_is_left_to_do_under_either_profile(submitted, profile):
    done = submitted.finish(*SUBMITTED, "-n", profile=profile)
    assert "Nothing to be done" in done.stdout + done.stderr
    assert f"profiles/{'slurm' if profile == SLURM else 'default'}" in done.stdout + done.stderr


def test_timings_have_their_device_and_the_node_for_themselves(submitted):
    jobs = sorted(submitted.jobs(), key=lambda job: job["StartTime"])
    assert {job["Partition"] for job in jobs} == {"gpu"}
    assert {job["TresPerJob"] for job in jobs} <= {"gres:gpu:1", "gres/gpu:1"}
    neighbours = list(pairwise(jobs))
    assert all(first["EndTime"] <= second["StartTime"] for first, second in neighbours)
    assert any(second["SubmitTime"] < first["EndTime"] for first, second in neighbours), "no job was pending"


def test_records_name_job_and_device(submitted):
    ids = {job["JobId"] for job in submitted.jobs()}
    for path in (submitted.folder / "results/ci/records").glob("*.json"):
        for session in json.loads(path.read_text())["sessions"].values():
            assert session["environment"]["SLURM_JOB_ID"] in ids
            assert session["environment"]["CUDA_VISIBLE_DEVICES"] in {"0", "1", "0,1"}


def test_a_failing_job_shows_its_log(small):
    small.script("raise SystemExit('error: the tree fell over')\n")
    done = small.finish(TREE)
    assert done.returncode == 1
    assert small.states() == ["FAILED"]
    assert "error: the tree fell over" in done.stdout + done.stderr
    (log,) = (small.folder / "results/logs/slurm").rglob("*.log")
    assert str(log) in done.stdout + done.stderr
    assert "draft_tree" in log.read_text()


def test_an_interrupt_cancels_the_jobs(small):
    small.script("import time\ntime.sleep(300)\n")
    workflow = small.start(TREE)
    wait(lambda: small.states() == ["RUNNING"])
    workflow.send_signal(signal.SIGINT)
    workflow.communicate(timeout=90)
    wait(lambda: small.states() == ["CANCELLED"])
    assert workflow.returncode != 0


def test_a_restart_after_a_kill_waits_for_the_job_that_still_runs(small, monkeypatch):
    go = small.folder / "go"
    small.script("import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.1)\n")
    killed = small.start(TREE)
    wait(lambda: small.states() == ["RUNNING"])
    killed.kill()
    killed.communicate()
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, small.environment[name])
    (job,) = jobs_of(small.folder)
    restarted = small.start(TREE)
    for line in restarted.stderr:
        if "waiting for jobs" in line:
            break
    assert f"scancel {job}" in line
    assert small.states() == ["RUNNING"]
    go.touch()
    out, err = restarted.communicate(timeout=300)
    assert restarted.returncode == 0, out + err
    assert (small.folder / TREE).exists()
    assert set(small.states()) == {"COMPLETED"}
    jobs = sorted(small.jobs(), key=lambda job: job["SubmitTime"])
    assert all(first["EndTime"] <= second["SubmitTime"] for first, second in pairwise(jobs))
