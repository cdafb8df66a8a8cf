"""Measure the attention of each head of the target, and classify the heads."""

import argparse
import json
from pathlib import Path

import pandas as pd

from dynatree.heads.report import analyze_heads, head_rows
from dynatree.utils.files import read_json, write_json, write_text
from dynatree.workflow.model_arguments import add_model_arguments, load_models
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--prompts", type=Path, nargs="+", required=True, help="prepared prompts; files named by data set")
parser.add_argument("--settings", type=json.loads, required=True, help="tokens, sinks, local and recent, as JSON")
parser.add_argument("--output", type=Path, required=True, help="JSON: the classification that head_aware reads")
parser.add_argument("--csv", type=Path, required=True, help="one row per head")
add_model_arguments(parser, draft=False)
options = parser.parse_args()


def main() -> None:
    datasets = {path.stem: read_json(path, "delete it and run the pipeline again") for path in options.prompts}
    content = analyze_heads(load_models(options, options), datasets, options.settings)
    write_json(options.output, content)
    write_text(options.csv, pd.DataFrame(head_rows(content)).astype({"window": "Int64"}).to_csv(index=False))


run(
    main,
    reads=[options.target, *options.prompts],
    writes=[options.output, options.csv],
    arguments=options,
)
