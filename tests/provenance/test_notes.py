"""Notes beside outputs, and what a script says when the machine has no room."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dynatree.provenance.fingerprint import code_hash
from dynatree.provenance.notes import note_path
from dynatree.utils.files import sha256, write_bytes, write_text
from dynatree.utils.paths import ROOT

SCRIPT = """
import argparse
import json
from pathlib import Path

import yaml

from dynatree.utils.files import write_text
from dynatree.workflow.script import run

parser = argparse.ArgumentParser()
parser.add_argument("--job", type=json.loads)
parser.add_argument("--model", type=Path)
parser.add_argument("--input", type=Path)
parser.add_argument("--output", type=Path)
options = parser.parse_args()


def main():
    {work}


run(main, reads=[options.model, options.input, None], writes=[options.output], arguments=options, code=[{code}])
"""
COPYING = "write_text(options.output, options.input.read_text())"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "dynatree", folder / "dynatree", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "scripts").mkdir()
    (folder / "model").mkdir()
    (folder / "model/MANIFEST.sha256").write_text("00  weights\n")
    (folder / "in.txt").write_text("text")
    return folder


def call(
    checkout: Path, work: str, output: str | Path, package: Path | None = None, code: str = ""
) -> subprocess.CompletedProcess:
    (checkout / "scripts/small.py").write_text(SCRIPT.replace("{work}", work).replace("{code}", code))
    command = [sys.executable, "scripts/small.py", "--job", '{"cases": [1, {"a": null}]}', "--model", "model"]
    environment = os.environ | {"PYTHONPATH": str(package or checkout), "OMP_NUM_THREADS": "1"}
    command += ["--input", str(checkout / "in.txt"), "--output", str(output)]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)


def test_a_note_says_where_an_output_comes_from(checkout):
    done = call(checkout, COPYING, "out/copy.txt")
    assert done.returncode == 0, done.stderr
    note = json.loads((checkout / "out/.provenance/copy.txt.json").read_text())
    assert note["script"] == "scripts/small.py"
    assert note["code"] == code_hash("scripts/small.py", root=checkout)
    assert note["arguments"]["job"] == {"cases": [1, {"a": None}]}
    assert note["arguments"]["model"] == "model"
    assert note["inputs"] == {name: sha256(checkout / name) for name in ("model/MANIFEST.sha256", "in.txt")}
    assert note["outputs"] == {"out/copy.txt": sha256(checkout / "out/copy.txt")}
    assert note["threads"] == "1"
    assert note["commit"] == "unknown"
    assert note["started"] <= note["finished"]
    assert set(note["versions"]) == {"python", "yaml"}
    assert {"machine", "system", "processor", "cores", "load", "clock", "uncommitted_changes"} <= set(note)


def test_code_that_a_script_imports_by_name_is_part_of_the_note(checkout):
    assert call(checkout, COPYING, "named/copy.txt", code="'dynatree/tree.py'").returncode == 0
    note = json.loads((checkout / "named/.provenance/copy.txt.json").read_text())
    assert note["code"] == code_hash("scripts/small.py", "dynatree/tree.py", root=checkout)


def test_a_script_that_fails_leaves_no_note(checkout):
    done = call(checkout, f"{COPYING}; raise KeyError('x')", "failed/copy.txt")
    assert done.returncode == 1
    assert "KeyError" in done.stderr
    assert not note_path(checkout / "failed/copy.txt").exists()


def test_what_is_missing_is_said_in_one_line(checkout):
    done = call(checkout, "pass", "nothing.txt")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: nothing.txt is missing; ")


def test_the_package_of_another_checkout_is_refused(checkout):
    done = call(checkout, COPYING, "other.txt", package=ROOT)
    assert done.returncode == 2
    assert f"would run with the package of another checkout, {ROOT}; set PYTHONPATH" in done.stderr
    assert not (checkout / "other.txt").exists()


@pytest.mark.parametrize(
    ("work", "told"),
    [
        ("import torch; torch.empty(10**15)", "this machine is out of memory in scripts/small.py, which asked for 4"),
        ("import numpy; numpy.empty(10**15)", "this machine is out of memory in scripts/small.py, which asked for 7"),
        ("raise MemoryError", "this machine is out of memory in scripts/small.py; stop what else uses it"),
        (
            "import torch; raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0')",
            "the GPU is out of memory in scripts/small.py, which asked for 20.00 MiB; stop what else uses it",
        ),
        ("open('/dev/full', 'w').write('x' * 100000)", "is full; free some space and start again"),
    ],
)
def test_out_of_memory_and_a_full_disk_are_one_line(checkout, work, told):
    done = call(checkout, work, "out.txt")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_other_mistakes_keep_their_traceback(checkout):
    done = call(checkout, "raise RuntimeError('a mismatch of sizes')", "out.txt")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.fixture
def full_disk(tmp_path) -> Path:
    """A file system of one megabyte of which a few kilobytes are left."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    try:
        (folder / "old.txt").write_text("old")
        (folder / "filler").write_bytes(b"x" * 900_000)
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_leaves_the_old_file_and_no_half_one(full_disk):
    before = sorted(full_disk.iterdir())
    for name in ("old.txt", "new.txt"):
        with pytest.raises(OSError, match="No space left") as raised:
            write_bytes(full_disk / name, b"x" * 500_000)
        assert raised.value.filename == str(full_disk / name)
    assert (full_disk / "old.txt").read_text() == "old"
    assert sorted(full_disk.iterdir()) == before
    write_text(full_disk / "old.txt", "new")


def test_a_script_names_the_file_for_which_the_disk_is_full(full_disk, checkout):
    output = full_disk / "copy.txt"
    done = call(checkout, 'write_text(options.output, "x" * 500_000)', output)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"error: the disk of {output} is full; free some space")
    assert not output.exists()
    assert not note_path(output).exists()
