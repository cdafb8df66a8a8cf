"""An archive of the finished run, rebuilt from its records alone."""

import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.repository_copy import NEEDS_LATEX, ROOT, Checkout

pytestmark = [NEEDS_LATEX, pytest.mark.xdist_group("finished run")]

ARCHIVE = "results/ci.tar.gz"
RECORD = "results/ci/records/pruning-encyclopaedic.json"
TABLE = "results/ci/tables/sweep.csv"
FIGURE = "figures/ci/main.png"


@pytest.fixture(scope="module")
def packed(finished) -> Checkout:
    """The finished run with its archive."""
    finished.make("archive")
    return finished


@pytest.fixture
def unpacked(packed, tmp_path) -> Path:
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-xzf", packed / ARCHIVE, "-C", tmp_path / "unpacked"], check=True)
    return tmp_path / "unpacked"


def pack(folder: Path) -> Path:
    archive = folder.with_suffix(".tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                tar.add(path, path.relative_to(folder))
    return archive


def verify(archive: Path, python: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [python, ROOT / "scripts/verify.py", archive, "--cores", "1", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=archive.parent, env=environment, capture_output=True, text=True, timeout=900)


def test_only_the_artefacts_that_do_not_follow_from_the_records_differ(packed, unpacked):
    record, table = unpacked / RECORD, unpacked / TABLE
    content = json.loads(record.read_text())
    pruned = next(one for one in content["records"] if one["case"] == "d2-t0.02")
    pruned["seconds"]["total"] *= 10
    record.write_text(json.dumps(content))
    table.write_text(table.read_text().replace("1", "2"))
    (unpacked / FIGURE).unlink()
    done = verify(pack(unpacked), packed.python, "--keep", str(unpacked.parent / "kept"))
    assert done.returncode == 1, done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    differing = {line for line in lines if not line.startswith("made differently: ")}
    of_the_record = {
        *(f"results/ci/{kind}/pruning.csv: differs" for kind in ("requests", "summary", "tables")),
        "results/ci/tables/pruning.tex: differs",
        *(f"results/ci/{name}: differs" for name in ("summary/facts.json", "environment.html")),
        *(f"results/ci/{name}: differs" for name in ("claims.csv", "claims.html", "tables/claims.tex")),
        *(f"figures/ci/pruning.{ending}: differs" for ending in ("pdf", "png")),
        *(f"paper/ci/dynatree.{ending}: differs" for ending in ("tex", "pdf")),
    }
    assert differing == {f"{TABLE}: differs", f"{FIGURE}: missing in the archive"} | of_the_record
    matching, count = map(int, re.fullmatch(r".*: (\d+) of (\d+) artefacts match byte for byte", last).groups())
    assert matching == count - len(differing)
    assert count > 60
    assert (unpacked.parent / "kept/ours" / TABLE).read_bytes() == (packed / TABLE).read_bytes()


def test_an_archive_with_a_wrong_configuration_is_refused(packed, unpacked):
    about = unpacked / "archive.json"
    about.write_text(about.read_text().replace('"run": "ci"', '"run": "../ci"'))
    done = verify(pack(unpacked), packed.python)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "unpacked.tar.gz" in done.stderr


def test_the_archive_is_the_same_when_packed_again(packed):
    before = (packed / ARCHIVE).read_bytes()
    packed.make("archive", "--forcerun", "archive")
    assert (packed / ARCHIVE).read_bytes() == before
