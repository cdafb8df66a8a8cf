"""Draft trees with a pair of models and keep the most instructive one for a figure."""

import argparse
import json
from pathlib import Path

from dynatree.benchmark.example_tree import illustrate
from dynatree.utils.files import read_json, write_json
from dynatree.workflow.model_arguments import add_model_arguments, load_models
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--prompts", type=Path, required=True, help="prepared prompts")
parser.add_argument("--options", type=json.loads, required=True, help="options of the dynatree policy, as JSON")
parser.add_argument("--output", type=Path, required=True, help="JSON: the tree of one round")
add_model_arguments(parser)
options = parser.parse_args()


def main() -> None:
    prompts = read_json(options.prompts, "delete it and run the pipeline again")["prompts"]
    write_json(options.output, illustrate(load_models(options, options), prompts, options.options))


run(
    main,
    reads=[options.target, options.draft, options.prompts],
    writes=[options.output],
    arguments=options,
)
