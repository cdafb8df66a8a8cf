import json
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)

from dynatree.configuration import check
from dynatree.errors import DynatreeError
from dynatree.fingerprint import code_hash

try:
    check(config)
except DynatreeError as mistake:
    sys.exit(f"error: {mistake}")

RUN = config["run"]
DATASETS = config["experiments"]["main"]["prompts"]


wildcard_constraints:
    dataset="[a-z0-9_-]+",
    model="[A-Za-z0-9._-]+",
    role="target|draft",


def model_folder(role):
    return f"resources/models/{config['models'][role]['name']}"


def model_source(wildcards):
    sources = {model["name"]: model["source"] for model in config["models"].values()}
    return json.dumps(sources[wildcards.model])


def prompt_limits(wildcards):
    longest = max(
        experiment["new_tokens"] for experiment in config["experiments"].values()
    )
    return json.dumps(
        config["prompt_tokens"]
        | {
            "count": config["prompts"][wildcards.dataset]["count"],
            "new_tokens": longest,
        }
    )


def main_slice(wildcards):
    """What a measurement depends on, as JSON."""
    keys = ("run", "device", "dtype", "methods")
    experiment = {
        k: config["experiments"]["main"][k]
        for k in ("new_tokens", "repetitions", "warmup")
    }
    return json.dumps(
        {key: config[key] for key in keys}
        | {"experiment": "main", "dataset": wildcards.dataset}
        | experiment
    )


def paper_slice(wildcards):
    """What the paper says about the configuration, as JSON."""
    keys = (
        "run",
        "device",
        "dtype",
        "threads",
        "models",
        "prompts",
        "experiments",
        "methods",
    )
    return json.dumps({key: config[key] for key in keys})
