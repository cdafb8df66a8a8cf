"""Distill a draft from text its target sampled, measure it on held-out openings and write its model card."""

import argparse
import json
import shlex
import sys
from pathlib import Path

import torch

from dynatree.distillation.draft import distill_draft
from dynatree.distillation.openings import OPENINGS
from dynatree.distillation.training import Recipe
from dynatree.models.ngram_table import FILE_NAME
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--target", type=Path, required=True, help="folder of the target checkpoint")
parser.add_argument("--samples", type=Path, required=True, help="folder of sampled shards")
parser.add_argument("--output", type=Path, required=True, help="folder for the draft")
parser.add_argument("--start", type=Path, help="folder of an earlier draft whose training goes on")
for name, value in vars(Recipe()).items():
    parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()


def main() -> None:
    torch.set_num_threads(options.threads)
    recipe = Recipe(**{name: getattr(options, name) for name in vars(Recipe())})
    command = shlex.join(["python", *sys.argv])
    report = distill_draft(options.target, options.samples, options.output, recipe, command, options.start)
    print(json.dumps({name: report[name] for name in ("layers", "steps", "minutes", "top1", "top2", "top4")}))


run(
    main,
    reads=[
        options.target,
        OPENINGS,
        *([options.start] if options.start else []),
        *sorted(options.samples.glob("*.safetensors")),
    ],
    writes=[options.output / name for name in ("model.safetensors", FILE_NAME, "README.md", "report.json")],
    arguments=options,
)
