"""Prove all causal model types, and write dynatree/models/verdicts.json and docs/models.md; types may be named."""

import sys
from pathlib import Path

import torch

from dynatree.decoding.model_table import markdown, rows_of, shipped_table
from dynatree.models.admission import TABLE
from dynatree.models.model_types import model_types
from dynatree.utils.files import write_json
from dynatree.workflow.generated_docs import fill

torch.set_num_threads(1)
rows = []
for model_type in sys.argv[1:] or model_types():
    for row in rows_of(model_type):
        rows.append(row)
        print(
            f"{row.model_type:28} {row.verdict.mode or 'refused':8} {row.verdict.reason} | {row.compression}",
            flush=True,
        )
if not sys.argv[1:]:
    write_json(TABLE, shipped_table(rows))
    fill(Path("docs/models.md"), "models", markdown(rows))
