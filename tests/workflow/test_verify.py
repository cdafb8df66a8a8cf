"""An archive of the finished run, rebuilt elsewhere from its records alone."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.repository_copy import NEEDS_LATEX, ROOT, snakemake

ARCHIVE = "results/ci.tar.gz"
RECORD = "results/ci/records/main-narrative.json"
TABLE = "results/ci/tables/ablation.csv"

pytestmark = NEEDS_LATEX


@pytest.fixture(scope="module")
def packed(finished, tmp_path_factory) -> Path:
    """A copy of the finished run with its archive."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("packed") / "copy", symlinks=True)
    done = snakemake(folder, "archive")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def verify(archive: Path, *arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess:
    command = [sys.executable, folder / "scripts/verify.py", archive, "--cores", "2", *arguments]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=archive.parent, env=environment, capture_output=True, text=True, timeout=900)


def test_everything_is_rebuilt_to_the_byte_elsewhere(packed):
    done = verify(packed / ARCHIVE)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    matching, count = re.fullmatch(r".*ci.tar.gz: (\d+) of (\d+) artefacts match byte for byte", last).groups()
    assert matching == count
    assert int(count) > 60


def test_what_does_not_follow_from_the_records_is_listed(packed, tmp_path):
    folder = tmp_path / "tampered"
    with tarfile.open(packed / ARCHIVE) as tar:
        tar.extractall(folder, filter="data")
    record, table = folder / RECORD, folder / TABLE
    content = json.loads(record.read_text())
    content["records"][0]["seconds"]["total"] *= 2
    record.write_text(json.dumps(content))
    table.write_text(table.read_text().replace("1", "2"))
    (folder / "figures/ci/main.png").unlink()
    archive = tmp_path / "tampered.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                tar.add(path, path.relative_to(folder))
    done = verify(archive, "--keep", str(tmp_path / "kept"))
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert f"{TABLE}: differs" in lines
    assert "results/ci/requests/main.csv: differs" in lines
    assert "results/ci/tables/main.csv: differs" in lines
    assert "figures/ci/main.png: missing in the archive" in lines
    assert "results/ci/tables/sweep.csv: differs" not in lines
    assert (tmp_path / "kept/ours" / TABLE).read_text() != table.read_text()


def test_an_archive_with_a_wrong_configuration_is_refused(packed, tmp_path):
    folder = tmp_path / "run"
    with tarfile.open(packed / ARCHIVE) as tar:
        tar.extractall(folder, filter="data")
    about = folder / "archive.json"
    about.write_text(about.read_text().replace('"run": "ci"', '"run": "../ci"'))
    archive = tmp_path / "wrong.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(about, "archive.json")
    done = verify(archive)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "wrong.tar.gz" in done.stderr


def test_the_archive_is_the_same_when_packed_again(packed):
    before = (packed / ARCHIVE).read_bytes()
    assert snakemake(packed, "archive", "--forcerun", "archive").returncode == 0
    assert (packed / ARCHIVE).read_bytes() == before
