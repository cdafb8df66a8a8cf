"""Measure cache compression on the texts of one data set: perplexity, memory, times, and hidden numbers found."""

import argparse
import json
from pathlib import Path

import torch

from dynatree.benchmark.environment import environment
from dynatree.benchmark.passkey import ask_all, prepare
from dynatree.benchmark.perplexity import check_job, generate_all, read_all
from dynatree.config.compression_grid import with_classification
from dynatree.models.loading import load_pair
from dynatree.utils.files import check_folder, read_json, write_json
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--job", type=json.loads, required=True, help="what to measure and how, as JSON")
parser.add_argument("--heads", type=Path, help="the classification of heads, if a case needs it")
parser.add_argument("--target", type=Path, required=True, help="folder of the target")
parser.add_argument("--prompts", type=Path, required=True, help="prepared texts")
parser.add_argument("--output", type=Path, required=True, help="JSON: what was measured")
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--exclusive", action="store_true", help="let nothing else run on this machine meanwhile")
options = parser.parse_args()


def main() -> None:
    torch.set_num_threads(options.threads)
    kinds = ("cases", "generation_cases", "passkey_cases")
    job = options.job | {kind: with_classification(options.job[kind], options.heads) for kind in kinds}
    prompts = read_json(options.prompts, "delete it and run the pipeline again")
    texts = prompts["prompts"][: job["texts"]]
    check_folder(options.target)
    pair = load_pair(options.target, device=job["device"], dtype=job["dtype"], backend=job["backend"])
    check_job(pair.target, job)
    tests = prepare(pair.target, pair.tokenizer, job)
    measured = {
        "dataset": job["dataset"],
        "stands_for": prompts["stands_for"],
        "source": prompts["source"],
        "job": options.job,
        "environment": environment(pair.device),
        "texts": read_all(pair.target, job, texts),
        "generation": generate_all(pair.target, job, texts),
        "passkey": ask_all(pair.target, pair.tokenizer, job, tests),
    }
    write_json(options.output, measured)


run(
    main,
    reads=[options.target, options.prompts, options.heads],
    writes=[options.output],
    arguments=options,
    exclusive=options.exclusive,
)
