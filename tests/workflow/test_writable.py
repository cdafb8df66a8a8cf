"""Folders that a run may not write to."""

import os
from pathlib import Path

import pytest

from dynatree.errors import DynatreeError
from dynatree.workflow.writable import check_writable


def test_folders_that_exist_or_can_be_made_are_accepted(tmp_path):
    check_writable([tmp_path, tmp_path / "results/ci"])


def test_a_read_only_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)  # root may write everywhere
    with pytest.raises(DynatreeError, match=f"{tmp_path} is read-only; give this user write access"):
        check_writable([tmp_path / "results/ci"])


def test_a_relative_folder_is_found_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    asked = []
    monkeypatch.setattr(os, "access", lambda path, _: not asked.append(Path(path)))
    check_writable([Path("results/ci"), Path("paper/ci")])
    assert asked == [tmp_path / "results", tmp_path]
