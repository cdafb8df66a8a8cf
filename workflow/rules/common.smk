import json
import re

sys.path.insert(0, workflow.basedir)

from dynatree.analysis.catalogue import FIGURES, TABLES
from dynatree.analysis.published import check_published, load_claims
from dynatree.config.arena import arena_datasets, arena_prompts
from dynatree.config.compression_grid import compression_job, needs_heads
from dynatree.config.experiments import TRACED
from dynatree.config.labels import all_labels
from dynatree.config.optional_methods import leave_out_missing
from dynatree.config.validation import check
from dynatree.errors import DynatreeError
from dynatree.provenance.fingerprint import code_hash, libraries
from dynatree.workflow.slurm import wait_for_jobs
from dynatree.workflow.stale_locks import take_over
from dynatree.workflow.writable import check_writable

# Check the configuration, the claims and the published numbers now, so that a mistake in them costs no hours.
try:
    PLAN = check(config)
    # An adopted run keeps the methods that it measured.
    missing = None if "measured" in config else leave_out_missing(config)
    if missing:
        PLAN = check(config)
        if workflow.is_main_process:
            print(missing, file=sys.stderr)
    load_claims(Path("config/claims.yaml"))
    check_published(Path("results/published/main.csv"))
except DynatreeError as mistake:
    sys.exit(f"error: {mistake}")

# The processes of jobs and dry runs must not touch the locks of another workflow.
if workflow.is_main_process and not workflow.output_settings.dryrun:
    try:
        check_writable(
            Path(top, config["run"]) for top in ("results", "figures", "paper")
        )
        if take_over(Path.cwd()):
            wait_for_jobs(Path.cwd())
    except (DynatreeError, OSError) as mistake:
        sys.exit(f"error: {mistake}")

# Jobs import the package from this checkout, because the fingerprints describe its code and not an installed copy.
# The path is part of the command, so that it also applies to jobs on a cluster. Files are UTF-8 in every locale.
shell.prefix(
    "set -euo pipefail; export PYTHONUTF8=1 PYTHONPATH={workflow.basedir:q}${{PYTHONPATH:+:$PYTHONPATH}}; "
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
    return [f"results/{RUN}/records/{name}.json" for name in PLAN.jobs_of(experiment)]


def gguf_of_target(job):
    """Return the manifest of the target's GGUF file if the job runs llama.cpp."""
    name = config["models"]["target"]["name"]
    return f"resources/gguf/{name}/MANIFEST.sha256" if job.needs_llama_cpp else []


def tuned_options(job):
    """Return the file of tuned options if the job needs it."""
    return [TUNED] if job.needs_tuning else []


def prompt_settings(wildcards):
    """Return the settings from which the prompts of a data set are prepared, as JSON."""
    settings = config["prompts"][wildcards.dataset]
    kept = {name: value for name, value in settings.items() if name != "label"}
    return json.dumps({"name": wildcards.dataset} | kept)


def as_parameter(job):
    """Return a job as JSON for a measuring script, without labels: a new label must not repeat a measurement."""
    return json.dumps(job.without_labels().to_json())


def labels_of(entry):
    """Return the labels of the cases and data sets in the inputs of a table or figure, as JSON."""
    names = [Path(source).stem for source in entry.inputs]
    return json.dumps({name: LABELS[name] for name in names if name in LABELS})


def texts(wildcards):
    """Return the local file or folder of the prompts if they have one."""
    return config["prompts"][wildcards.dataset]["source"].get("path", [])


def literal(value):
    """Return a parameter with ``value`` as JSON. In a plain string, Snakemake would read "{...}" as a wildcard."""
    return lambda wildcards: json.dumps(value)


def arguments(values, *names):
    """Return the command-line arguments with these values under their names."""
    return [word for name in names for word in (f"--{name}", values[name])]


def stage_of(wildcards):
    """Return the settings of a stage of the distillation; the first one has number 1."""
    return config["distillation"]["stages"][int(wildcards.stage) - 1]


def earlier_draft(wildcards):
    """Return the draft of the stage before; none for the first stage."""
    stage = int(wildcards.stage)
    return (
        [f"results/{RUN}/distillation/{stage - 1}/draft/model.safetensors"]
        if stage > 1
        else []
    )


def code_of(*paths):
    """Return the parameters that rerun a rule when its code, or a library that the code imports, changes.

    The paths may contain wildcards.
    """

    def of_files(function):
        return lambda wildcards: function(*(path.format(**wildcards) for path in paths))

    return {"code": of_files(code_hash), "libraries": of_files(libraries)}


def inputs_of(entry):
    """Return the files of a table or figure: published numbers are in results/, all others in results/RUN/."""
    return [
        (
            f"results/{source}"
            if source.startswith("published/")
            else f"results/{RUN}/{source}"
        )
        for source in entry.inputs
    ]
