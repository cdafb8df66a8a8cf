"""Measure the peak memory of every case on a few prompts of one data set."""

import argparse
import json
from pathlib import Path

import pandas as pd
import torch

from dynatree.benchmark.memory import measure_memory
from dynatree.benchmark.tuned_options import resolve_cases
from dynatree.models.loading import load_pair
from dynatree.utils.files import check_folder, read_json, write_text
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--job", type=json.loads, required=True, help="what to measure and how, as JSON")
parser.add_argument("--tuned", type=Path, help="JSON: the settings that tuning has chosen")
parser.add_argument("--target", type=Path, required=True, help="folder of the target")
parser.add_argument("--draft", type=Path, required=True, help="folder of the draft")
parser.add_argument("--prompts", type=Path, required=True, help="prepared prompts")
parser.add_argument("--output", type=Path, required=True, help="CSV: one row per case and prompt")
parser.add_argument("--threads", type=int, required=True)
options = parser.parse_args()


def main() -> None:
    torch.set_num_threads(options.threads)
    job = options.job
    cases = resolve_cases(job["cases"], read_json(options.tuned, "run the pipeline again") if options.tuned else {})
    prompts = read_json(options.prompts, "delete it and run the pipeline again")
    for folder in (options.target, options.draft):
        check_folder(folder)
    pair = load_pair(options.target, options.draft, job["device"], job["dtype"], backend=job["backend"])
    rows = []
    for key, case in cases.items():
        for prompt in prompts["prompts"][: job["prompts"]]:
            names = {"dataset": job["dataset"], "stands_for": prompts["stands_for"]}
            names |= {"case": key, "prompt": prompt["id"], "new_tokens": job["new_tokens"]}
            how = "CUDA allocator" if pair.device.type == "cuda" else "live tensors"
            rows.append(names | measure_memory(pair, prompt["tokens"], case, job["new_tokens"]) | {"how": how})
    write_text(options.output, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))


run(
    main,
    reads=[options.target, options.draft, options.prompts, options.tuned],
    writes=[options.output],
    arguments=options,
)
