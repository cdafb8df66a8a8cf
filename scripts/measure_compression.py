"""Measure cache compression on one data set: perplexity, memory, latency and passkey retrieval."""

import argparse
import json
from pathlib import Path

from dynatree.benchmark.cache_compression import measure_compression
from dynatree.config.compression_grid import with_classification
from dynatree.utils.files import read_json, write_json
from dynatree.workflow.model_arguments import add_model_arguments, load_models
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--job", type=json.loads, required=True, help="the job, as JSON")
parser.add_argument("--heads", type=Path, help="the classification of heads, if a case needs it")
parser.add_argument("--prompts", type=Path, required=True, help="prepared prompts")
parser.add_argument("--output", type=Path, required=True, help="JSON: the measurements")
parser.add_argument("--exclusive", action="store_true", help="run nothing else of any pipeline meanwhile")
add_model_arguments(parser, draft=False)
options = parser.parse_args()


def main() -> None:
    prompts = read_json(options.prompts, "delete it and run the pipeline again")
    job = with_classification(options.job, options.heads)
    measured = measure_compression(load_models(options, options), job, prompts)
    write_json(options.output, measured | {"job": options.job})


run(
    main,
    reads=[options.target, options.prompts, options.heads],
    writes=[options.output],
    arguments=options,
    exclusive=options.exclusive,
)
