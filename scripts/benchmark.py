"""Measure the cases of a job."""

import argparse
import json
from pathlib import Path

import torch

from dynatree.benchmark.environment import environment, now
from dynatree.benchmark.protocol import measure
from dynatree.benchmark.records import Journal, write_records
from dynatree.benchmark.settings import resolve
from dynatree.files import MANIFEST, read_json, sha256
from dynatree.loading import load_pair
from dynatree.scripting import run


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", type=json.loads, required=True, help="what to measure and how, as JSON")
    parser.add_argument("--tuned", type=Path, help="JSON: the settings that tuning has chosen")
    parser.add_argument("--target", type=Path, required=True, help="folder of the target")
    parser.add_argument("--draft", type=Path, required=True, help="folder of the draft")
    parser.add_argument("--prompts", type=Path, required=True, help="prepared prompts")
    parser.add_argument("--output", type=Path, required=True, help="file for the records")
    parser.add_argument("--code", required=True, help="fingerprint of the code that runs")
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


def describe(folder: Path, model) -> dict:
    manifest = folder / MANIFEST
    return {
        "folder": str(folder),
        "sha256": sha256(manifest if manifest.exists() else folder / "model.safetensors"),
        "parameters": model.num_parameters(),
    }


def identity(meta: dict) -> dict:
    """What must be the same for records to be continued: all but the commit, whose fingerprint says what matters."""
    machine = {key: value for key, value in meta["environment"].items() if key not in ("commit", "uncommitted_changes")}
    return meta | {"environment": machine}


def main(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    tuned = read_json(options.tuned, "run the pipeline again") if options.tuned else {}
    job = resolve(options.job, tuned)
    prompts = read_json(options.prompts, "delete it and run the pipeline again")
    pair = load_pair(options.target, options.draft, job["device"], job["dtype"])
    meta = {
        "job": job,
        "code": options.code,
        "dataset": {name: prompts[name] for name in ("label", "stands_for", "source")},
        "prompts_sha256": sha256(options.prompts),
        "models": {"target": describe(options.target, pair.target), "draft": describe(options.draft, pair.draft)},
        "environment": environment(pair.device),
    }
    journal = Journal(options.output.with_suffix(".journal"), identity(meta))
    started = now()
    records = measure(pair, prompts[job["split"]][: job["prompts"]], job, journal)
    write_records(options.output, meta | {"started": started, "finished": now()}, records)
    journal.close()


options = parse()
run(
    lambda: main(options),
    reads=[options.target, options.draft, options.prompts, options.tuned],
    writes=[options.output],
    arguments=options,
)
