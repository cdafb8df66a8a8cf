"""A full disk and a read-only folder: one line, nothing lost, and a restart finishes."""

import subprocess
from pathlib import Path

import pytest

from dynatree.benchmark.records import Journal
from tests.support.repository_copy import Checkout
from tests.workflow.test_kills import JOURNAL, RECORD

pytestmark = pytest.mark.xdist_group("prepared copy")

PAGE = 4096  # bytes


@pytest.fixture
def small(copy) -> Checkout:
    """A copy whose results are on a file system of one megabyte."""
    folder = copy / "results/ci"
    aside = folder.rename(folder.with_name("aside"))
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    try:
        subprocess.run(["cp", "-a", f"{aside}/.", folder], check=True)
        yield copy
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(path: Path, left: int) -> None:
    """Fill the disk with a file, up to some pages."""
    with path.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * PAGE)
        except OSError:
            stream.truncate(stream.tell() - left * PAGE)


def remount(checkout: Checkout, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", checkout / "results/ci"], check=True)


def failure(checkout: Checkout) -> str:
    done = checkout.snakemake(RECORD)
    assert done.returncode != 0
    assert not (checkout / RECORD).exists()
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_full_disk_and_a_read_only_folder_lose_no_finished_request(small):
    fill(small / "results/ci/filler", left=3)
    assert "is full; free some space and start again: what is finished is kept" in failure(small)
    finished = Journal(small / JOURNAL).records
    assert 0 < len(finished) < 11, "the disk must be full in the middle of the journal, or this test shows little"
    (small / "results/ci/filler").unlink()

    remount(small, "ro")
    assert "results/ci is read-only; give this user write access" in failure(small)
    remount(small, "rw")

    small.make(RECORD)
    records = Journal(small / JOURNAL).records
    assert records[: len(finished)] == finished
    repeated = {record.key for record in records[len(finished) :]} & {record.key for record in finished}
    assert {case for *_, case in repeated} <= {"autoregressive"}, "a finished request was measured again"
