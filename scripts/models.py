"""Prove all causal model types, and write dynatree/models/verdicts.json and docs/models.md; types may be named."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from dynatree.decoding.model_table import Row, markdown, rows_of, shipped_table
from dynatree.models.admission import TABLE
from dynatree.models.model_types import model_types
from dynatree.models.proof import Verdict
from dynatree.utils.files import write_json
from dynatree.workflow.generated_docs import fill

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("types", nargs="*", metavar="TYPE", help="prove and print these only")
parser.add_argument("--journal", type=Path, help="keep finished types in this file, and skip those that it holds")
options = parser.parse_args()


def finished(journal: Path | None) -> dict[str, list[Row]]:
    """Return the rows of each type that a journal holds."""
    rows: dict[str, list[Row]] = {}
    for line in journal.read_text().splitlines() if journal and journal.exists() else ():
        for one in json.loads(line):
            rows.setdefault(one["model_type"], []).append(Row(**one | {"verdict": Verdict(**one["verdict"])}))
    return rows


def prove_types(types: list[str], journal: Path | None) -> Iterator[Row]:
    """Yield the rows of all types, from the journal or from a proof now."""
    known = finished(journal)
    for model_type in types:
        rows = known.get(model_type) or list(rows_of(model_type))
        if journal and model_type not in known:
            with journal.open("a") as stream:
                stream.write(json.dumps([asdict(row) for row in rows]) + "\n")
        for row in rows:
            mode = row.verdict.mode or "refused"
            print(f"{row.model_type:28} {mode:8} {row.verdict.reason} | {row.verdict.compression}", flush=True)
        yield from rows


torch.set_num_threads(1)
found = list(prove_types(options.types or model_types(), options.journal))
if not options.types:
    write_json(TABLE, shipped_table(found))
    fill(Path("docs/models.md"), "models", markdown(found))
