"""Damaged files cost what they held and nothing more."""

import json

from tests.support.repository_copy import copy_repository, snakemake

RECORD = "results/ci/records/sweep-narrative.json"


def test_damaged_files_are_named_and_a_restart_finishes(tmp_path):
    folder = copy_repository(tmp_path / "run")
    assert snakemake(folder, RECORD).returncode == 0
    record, journal = folder / RECORD, folder / "results/ci/journals/sweep-narrative.jsonl"
    measured = record.read_text()

    # A lost record comes back from the journal, to the byte; a damaged line is measured again.
    record.unlink()
    assert snakemake(folder, RECORD).returncode == 0
    assert record.read_text() == measured
    record.unlink()
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:-1], lines[-1][:40]]))
    done = snakemake(folder, RECORD)
    assert done.returncode == 0
    kept = {json.dumps(record["seconds"]) for record in json.loads(measured)["records"]}
    now = {json.dumps(record["seconds"]) for record in json.loads(record.read_text())["records"]}
    assert len(kept - now) == 1, "only the request of the damaged line was measured again"

    # A truncated model stops whoever would measure with it; the next run fetches it.
    record.unlink()
    journal.unlink()
    model = folder / "resources/models/tiny-target/model.safetensors"
    model.write_bytes(model.read_bytes()[:1000])
    done = snakemake(folder, RECORD)
    assert done.returncode != 0
    assert f"{model.relative_to(folder)} is damaged or missing; run the pipeline again" in done.stdout + done.stderr
    assert snakemake(folder, RECORD).returncode == 0
