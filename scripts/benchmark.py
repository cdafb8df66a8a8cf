"""Measure the cases of a job."""

import argparse
import json
from pathlib import Path

import torch

from dynatree.benchmark.records import write_records
from dynatree.benchmark.session import run_job
from dynatree.benchmark.tuned_options import resolve
from dynatree.config.jobs import Job
from dynatree.utils.files import check_folder, read_json
from dynatree.workflow.model_arguments import add_model_arguments, load_models
from dynatree.workflow.script import run


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", type=json.loads, required=True, help="the job, as JSON")
    parser.add_argument("--tuned", type=Path, help="JSON: the options that tuning has chosen")
    parser.add_argument("--prompts", type=Path, required=True, help="prepared prompts")
    parser.add_argument("--gguf", type=Path, help="folder of the target's weights for llama.cpp")
    parser.add_argument("--journal", type=Path, required=True, help="file of every request that ever finished")
    parser.add_argument("--output", type=Path, required=True, help="file for the records that count")
    parser.add_argument("--code", required=True, help="fingerprint of the code that runs")
    parser.add_argument("--exclusive", action="store_true", help="run nothing else of any pipeline meanwhile")
    add_model_arguments(parser, placement=False)
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    tuned = read_json(options.tuned, "run the pipeline again") if options.tuned else {}
    stands_for = read_json(options.prompts, "delete it and run the pipeline again")["stands_for"]
    job = resolve(Job.from_json(options.job), tuned.get(stands_for, {}))
    models = {"target": options.target, "draft": options.draft}
    if options.gguf:
        check_folder(options.gguf)
        models["gguf"] = options.gguf
    measurement = run_job(
        job, options.prompts, options.journal, models, options.code, lambda: load_models(options, job)
    )
    write_records(options.output, measurement)


options = parse()
run(
    lambda: main(options),
    reads=[options.target, options.draft, options.gguf, options.prompts, options.tuned],
    writes=[options.output],
    arguments=options,
    exclusive=options.exclusive,
)
