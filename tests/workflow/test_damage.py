"""Damaged files: only their content is lost."""

import json

import pytest

pytestmark = pytest.mark.xdist_group("prepared copy")

RECORD = "results/ci/records/sweep-narrative.json"


def test_damaged_files_are_named_and_a_restart_finishes(copy):
    copy.make(RECORD)
    record, journal = copy / RECORD, copy / "results/ci/journals/sweep-narrative.jsonl"
    measured = record.read_text()

    # A lost record is rebuilt from the journal with the same bytes.
    record.unlink()
    copy.make(RECORD)
    assert record.read_text() == measured

    # The request of a damaged line of the journal is measured again, and no other.
    record.unlink()
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:-1], lines[-1][:40]]))
    copy.make(RECORD)
    before = {json.dumps(record["seconds"]) for record in json.loads(measured)["records"]}
    after = {json.dumps(record["seconds"]) for record in json.loads(record.read_text())["records"]}
    assert len(before - after) == 1

    # A truncated model ends every job that would load it. The next run fetches it again.
    record.unlink()
    journal.unlink()
    model = copy / "resources/models/tiny-target/model.safetensors"
    model.write_bytes(model.read_bytes()[:1000])
    done = copy.snakemake(RECORD)
    assert done.returncode != 0
    assert (
        f"{model.relative_to(copy.folder)} is damaged or missing; run the pipeline again" in done.stdout + done.stderr
    )
    copy.make(RECORD)
