"""Decode by the times of passes of other machines, and say what these times are."""

import argparse
import json
from pathlib import Path

import torch

from dynatree.benchmark.simulation import OPERATIONS, describe, project
from dynatree.config.machine_specs import load_machines
from dynatree.models.linear.packed import pack
from dynatree.models.loading import load_pair
from dynatree.utils.files import check_folder, read_json, write_json
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--target", type=Path, required=True, help="folder of the target")
parser.add_argument("--draft", type=Path, required=True, help="folder of the draft")
parser.add_argument("--prompts", type=Path, nargs="+", required=True, help="prepared prompts, DATASET.json")
parser.add_argument("--jobs", type=json.loads, required=True, help="what to decode of each data set, as JSON")
parser.add_argument("--machines", type=Path, required=True, help="YAML: what is known of machines")
parser.add_argument("--measured", type=Path, nargs="*", default=[], help="files with times of passes that it names")
parser.add_argument("--names", nargs="+", required=True, help="those to decode for")
parser.add_argument("--device", required=True)
parser.add_argument("--dtype", required=True)
parser.add_argument("--backend", required=True)
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--threads", type=int, required=True)
options = parser.parse_args()


def main() -> None:
    torch.set_num_threads(options.threads)
    machines, assumptions = load_machines(options.machines, options.names)
    for folder in (options.target, options.draft):
        check_folder(folder)
    pair = load_pair(options.target, options.draft, options.device, options.dtype)
    machines = describe(pair, machines, assumptions)
    if options.backend == "packed":
        for model in (pair.target, pair.draft):
            pack(model)
    work = []
    for path in options.prompts:
        job = options.jobs[path.stem]
        prompts = read_json(path, "delete it and run the pipeline again")["prompts"]
        work.append((job, prompts[: job["prompts"]]))
    write_json(
        options.output,
        {
            "assumptions": assumptions,
            "operations": OPERATIONS,
            "machines": machines,
            "requests": project(pair, machines, work),
        },
    )


run(
    main,
    reads=[options.target, options.draft, *options.prompts, options.machines, *options.measured],
    writes=[options.output],
    arguments=options,
)
