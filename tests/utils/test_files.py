"""Files are whole or absent."""

import os
import signal
import subprocess
import sys

import pytest

from dynatree import DynatreeError
from dynatree.utils.files import MANIFEST, new_folder, read_json, read_manifest, write_manifest, write_text


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def interrupted_writing(folder):
    with new_folder(folder) as partial:
        (partial / "weights").write_text("half")
        raise KeyboardInterrupt


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    folder = tmp_path / "model"
    with new_folder(folder) as partial:
        (partial / "weights").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        interrupted_writing(folder)
    assert (folder / "weights").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".model.lock", "model"]


def test_remains_of_a_killed_process_are_removed(tmp_path):
    code = (
        "import os, signal; from dynatree.utils.files import new_folder\n"
        "with new_folder('model') as folder:\n"
        "    (folder / 'half').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.rglob("half")] == ["half"]
    with new_folder(tmp_path / "model") as folder:
        (folder / "whole").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".model.lock", "model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["whole"]


def test_manifest_names_every_file(tmp_path):
    (tmp_path / "b").write_text("")
    (tmp_path / "a").write_text("text")
    write_manifest(tmp_path)
    assert list(read_manifest(tmp_path)) == ["a", "b"]
    assert read_manifest(tmp_path)["b"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert (
        (tmp_path / MANIFEST)
        .read_text()
        .startswith("982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1  a\n")
    )


def test_damaged_json_is_named(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(DynatreeError, match="is missing; do this"):
        read_json(path, "do this")
    path.write_text('{"half": ')
    with pytest.raises(DynatreeError, match=r"is damaged .*; do this"):
        read_json(path, "do this")
