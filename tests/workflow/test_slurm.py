"""Jobs of a killed workflow in the queue of Slurm, with a squeue that the test writes."""

import os
from pathlib import Path

import pytest

from dynatree.errors import DynatreeError
from dynatree.workflow.slurm import LOGS, jobs_of, wait_for_jobs


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A file of the lines that squeue prints at its first call. After that the queue is empty."""
    program, answers = tmp_path / "bin/squeue", tmp_path / "answers"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\ncat {answers} && : >{answers}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return answers


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "a | folder"
    (folder / LOGS).mkdir(parents=True)
    return folder


def test_jobs_of_this_folder_and_name_only(squeue, folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    lines = [
        f"11|dynatree_1b|{folder}",
        f"12|dynatree_1b|{folder.parent}",
        f"13|other_1b|{folder}",
        f"14|dynatree_2c|{tmp_path / 'link'}",
    ]
    squeue.write_text("\n".join(lines) + "\n")
    assert jobs_of(folder) == ["11", "14"]
    assert "--me" in (tmp_path / "calls").read_text()


def test_it_waits_with_one_line_until_the_queue_is_empty(squeue, folder, tmp_path, capfd):
    squeue.write_text(f"7|dynatree_1b|{folder}\n9|dynatree_1b|{folder}\n")
    wait_for_jobs(folder, seconds=0.01)
    assert len((tmp_path / "calls").read_text().splitlines()) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "waiting for jobs 7 9 of an earlier run" in line
    assert "scancel 7 9" in line


def test_an_empty_queue_prints_nothing(squeue, folder, capfd):
    squeue.write_text("")
    wait_for_jobs(folder)
    assert not capfd.readouterr().err


def test_a_queue_that_does_not_answer_is_an_error(squeue, folder):
    with pytest.raises(DynatreeError, match=r"squeue failed.*No such file.*start again when Slurm answers"):
        wait_for_jobs(folder)


def test_a_folder_without_submitted_jobs_needs_no_squeue(squeue, tmp_path):
    wait_for_jobs(tmp_path)
    assert not (tmp_path / "calls").exists()


def test_a_machine_without_slurm_needs_no_squeue(folder, monkeypatch):
    monkeypatch.setenv("PATH", "")
    wait_for_jobs(folder)
