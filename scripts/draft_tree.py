"""Draft trees with a pair of models and keep the one that shows best how the method works."""

import argparse
import json
from pathlib import Path

import torch

from dynatree.benchmark.example_tree import illustrate
from dynatree.models.loading import load_pair
from dynatree.utils.files import check_folder, read_json, write_json
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--target", type=Path, required=True, help="folder of the target")
parser.add_argument("--draft", type=Path, required=True, help="folder of the draft")
parser.add_argument("--prompts", type=Path, required=True, help="prepared prompts")
parser.add_argument("--options", type=json.loads, required=True, help="options of the dynatree policy, as JSON")
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--device", default="auto")
parser.add_argument("--dtype", default="auto")
options = parser.parse_args()


def main() -> None:
    torch.set_num_threads(options.threads)
    prompts = read_json(options.prompts, "delete it and run the pipeline again")["prompts"]
    for folder in (options.target, options.draft):
        check_folder(folder)
    pair = load_pair(options.target, options.draft, options.device, options.dtype)
    write_json(options.output, illustrate(pair, prompts, options.options))


run(
    main,
    reads=[options.target, options.draft, options.prompts],
    writes=[options.output],
    arguments=options,
)
