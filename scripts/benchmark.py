"""Measure the cases of a job."""

import argparse
import json
import sys
from pathlib import Path

import torch

from dynatree.benchmark.environment import environment
from dynatree.benchmark.records import Journal, write_records
from dynatree.benchmark.schedule import assemble, missing, valid
from dynatree.benchmark.session import compare, measure
from dynatree.benchmark.tuned_options import resolve
from dynatree.models.loading import load_pair, parameter_count
from dynatree.utils.files import MANIFEST, check_folder, read_json, sha256
from dynatree.utils.host import now
from dynatree.utils.locks import file_lock
from dynatree.workflow.script import run


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", type=json.loads, required=True, help="what to measure and how, as JSON")
    parser.add_argument("--tuned", type=Path, help="JSON: the settings that tuning has chosen")
    parser.add_argument("--target", type=Path, required=True, help="folder of the target")
    parser.add_argument("--draft", type=Path, required=True, help="folder of the draft")
    parser.add_argument("--prompts", type=Path, required=True, help="prepared prompts")
    parser.add_argument("--journal", type=Path, required=True, help="file of every request that ever finished")
    parser.add_argument("--output", type=Path, required=True, help="file for the records that count")
    parser.add_argument("--code", required=True, help="fingerprint of the code that runs")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--exclusive", action="store_true", help="let nothing else run on this machine meanwhile")
    return parser.parse_args()


def describe(folder: Path) -> dict:
    manifest = folder / MANIFEST
    return {
        "folder": str(folder),
        "sha256": sha256(manifest if manifest.exists() else folder / "model.safetensors"),
    }


def main(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    tuned = read_json(options.tuned, "run the pipeline again") if options.tuned else {}
    job = resolve(options.job, tuned)
    data = read_json(options.prompts, "delete it and run the pipeline again")
    prompts = data[job["split"]][: job["prompts"]]
    about = {
        "started": now(),
        "job": job,
        "code": options.code,
        "dataset": {name: data[name] for name in ("stands_for", "source")},
        "prompts_sha256": sha256(options.prompts),
        "models": {"target": describe(options.target), "draft": describe(options.draft)},
        "environment": environment(torch.device(job["device"])),
    }
    with file_lock(options.journal.with_suffix(".lock"), exclusive=True, holder="another measurement of this job"):
        journal = Journal(options.journal)
        finished = valid(journal, prompts, about)
        todo = missing(finished, prompts, job)
        print(f"{len(finished)} requests are in {options.journal}, {len(todo)} are to be measured", file=sys.stderr)
        if todo:
            for folder in (options.target, options.draft):
                check_folder(folder)
            pair = load_pair(options.target, options.draft, job["device"], job["dtype"], backend=job["backend"])
            for role, model in (("target", pair.target), ("draft", pair.draft)):
                about["models"][role]["parameters"] = parameter_count(model)
            measure(pair, todo, about, journal)
        measurement = assemble(journal, prompts, about)
        compare(measurement.records, exact=job["dtype"] == "float32")
        write_records(options.output, measurement)


options = parse()
run(
    lambda: main(options),
    reads=[options.target, options.draft, options.prompts, options.tuned],
    writes=[options.output],
    arguments=options,
    exclusive=options.exclusive,
)
