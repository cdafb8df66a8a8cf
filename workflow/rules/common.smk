import json
import re
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)

from dynatree.analysis.catalogue import FIGURES, TABLES
from dynatree.analysis.published import check_published, load_claims
from dynatree.config.compression_grid import (
    compression_job,
    needs_heads,
)
from dynatree.config.labels import all_labels
from dynatree.config.validation import check
from dynatree.errors import DynatreeError
from dynatree.config.experiments import TRACED
from dynatree.provenance.fingerprint import code_hash, libraries
from dynatree.workflow.slurm import wait_for_jobs
from dynatree.workflow.stale_locks import take_over

# Whatever a run depends on or will be held against must be in order before hours are spent on it.
try:
    PLAN = check(config)
    load_claims(Path("config/claims.yaml"))
    check_published(Path("results/published/main.csv"))
except DynatreeError as mistake:
    sys.exit(f"error: {mistake}")

# Only the workflow itself, not the processes that it starts for its jobs, and not one that only looks.
if workflow.is_main_process and not workflow.output_settings.dryrun:
    try:
        if take_over(Path.cwd()):
            wait_for_jobs(Path.cwd())
    except DynatreeError as mistake:
        sys.exit(f"error: {mistake}")

# Jobs import the package from this checkout, whose code the fingerprints describe, not an installed copy of it.
# It is part of the command, so that jobs on a cluster get it too.
shell.prefix(
    "set -euo pipefail; export PYTHONPATH={workflow.basedir:q}${{PYTHONPATH:+:$PYTHONPATH}}; "
)

RUN = config["run"]
JOBS = PLAN.jobs
MEASURED = [name for name in config["experiments"] if name != "memory"]
SLOTS = 100 if config["protocol"]["exclusive"] else 1
TUNED = f"results/{RUN}/tuned.json"
LABELS = all_labels(PLAN)


def any_of(names):
    return "|".join(map(re.escape, names))


wildcard_constraints:
    dataset=any_of(config["prompts"]),
    job=any_of(JOBS),
    model="[A-Za-z0-9._-]+",


def model_folder(role):
    return f"resources/models/{config['models'][role]['name']}"


def model_source(wildcards):
    sources = {model["name"]: model["source"] for model in config["models"].values()}
    return json.dumps(sources[wildcards.model])


def records_of(experiment):
    return [
        f"results/{RUN}/records/{name}.json"
        for name in PLAN.jobs_of(experiment)
    ]


def tuned_options(job):
    """The file of tuned options, for a job that needs it."""
    return [TUNED] if job.needs_tuning else []


def prompt_settings(wildcards):
    """What the preparation of prompts has to know of a data set."""
    settings = config["prompts"][wildcards.dataset]
    kept = {name: value for name, value in settings.items() if name != "label"}
    return json.dumps({"name": wildcards.dataset} | kept)


def as_parameter(job):
    """A job as a measuring script takes it; labels are left out because a new label must not repeat a measurement."""
    return json.dumps(job.without_labels().to_json())


def labels_of(entry):
    """Labels of the cases and data sets in the inputs of a table or figure, as JSON."""
    names = [Path(source).stem for source in entry.inputs]
    return json.dumps({name: LABELS[name] for name in names if name in LABELS})


def texts(wildcards):
    """The local file or folder that the prompts come from, if it is one."""
    return config["prompts"][wildcards.dataset]["source"].get("path", [])


def literal(value):
    """A parameter that holds ``value`` as JSON; as a plain string, "{...}" within it would be taken for a wildcard."""
    return lambda wildcards: json.dumps(value)


def arguments(values, *names):
    """The command line that passes these values under their names."""
    return [word for name in names for word in (f"--{name}", values[name])]


def code_of(*paths):
    """Parameters that rerun a rule when its code, or a library that the code imports, changes.

    The paths may hold wildcards.
    """

    def of_files(function):
        return lambda wildcards: function(*(path.format(**wildcards) for path in paths))

    return {"code": of_files(code_hash), "libraries": of_files(libraries)}


def inputs_of(entry):
    """The files of a table or figure: published numbers are below results/, all others below results/RUN/."""
    return [
        (
            f"results/{source}"
            if source.startswith("published/")
            else f"results/{RUN}/{source}"
        )
        for source in entry.inputs
    ]
