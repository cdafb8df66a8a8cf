"""Measure the latency of forward passes by number of tokens and context."""

import argparse
from pathlib import Path

import pandas as pd

from dynatree.benchmark.forward_latency import measure_forwards
from dynatree.utils.files import write_text
from dynatree.workflow.model_arguments import add_model_arguments, load_models
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "--layers", required=True, help="layers that the run uses, stock, small_batch or graphs; stock is always measured"
)
parser.add_argument("--output", type=Path, required=True, help="CSV: one row per model, layers, context and width")
parser.add_argument("--exclusive", action="store_true", help="run nothing else of any pipeline meanwhile")
add_model_arguments(parser)
options = parser.parse_args()


def main() -> None:
    rows = measure_forwards(load_models(options, options), options.layers)
    write_text(options.output, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))


run(
    main,
    reads=[options.target, options.draft],
    writes=[options.output],
    arguments=options,
    exclusive=options.exclusive,
)
