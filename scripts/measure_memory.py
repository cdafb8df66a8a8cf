"""Measure the peak memory of every case on a few prompts of one data set."""

import argparse
import json
from pathlib import Path

import pandas as pd

from dynatree.benchmark.memory import measure_job
from dynatree.benchmark.tuned_options import resolve
from dynatree.config.jobs import Job
from dynatree.utils.files import read_json, write_text
from dynatree.workflow.model_arguments import add_model_arguments, load_models
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--job", type=json.loads, required=True, help="the job, as JSON")
parser.add_argument("--tuned", type=Path, help="JSON: the options that tuning has chosen")
parser.add_argument("--prompts", type=Path, required=True, help="prepared prompts")
parser.add_argument("--output", type=Path, required=True, help="CSV: one row per case and prompt")
add_model_arguments(parser, placement=False)
options = parser.parse_args()


def main() -> None:
    tuned = read_json(options.tuned, "run the pipeline again") if options.tuned else {}
    stands_for = read_json(options.prompts, "delete it and run the pipeline again")["stands_for"]
    job = resolve(Job.from_json(options.job), tuned.get(stands_for, {}))
    prompts = read_json(options.prompts, "delete it and run the pipeline again")
    rows = measure_job(load_models(options, job), job, prompts)
    write_text(options.output, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))


run(
    main,
    reads=[options.target, options.draft, options.prompts, options.tuned],
    writes=[options.output],
    arguments=options,
)
