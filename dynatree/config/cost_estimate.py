"""Counts of the cases, prompts and tokens that a configuration measures."""

from dynatree.config.arena import arena_datasets, arena_prompts
from dynatree.config.compression_grid import compression_job
from dynatree.config.jobs import Job
from dynatree.config.plan import Plan

METHODS = {  # of the experiments whose configuration does not list them
    "sweep": "autoregressive, chains, fixed trees",
    "ablation": "autoregressive, fixed tree, + breadth, + depth, + history",
    "pruning": "autoregressive, fixed trees",
    "sensitivity": "autoregressive, fixed tree, dynatree",
}
GRID = ("lengths", "depths", "branches", "thresholds", "cross", "limits", "dtypes", "caches", "budgets")
HEADER = ("Experiment", "Methods", "Cases", "Grid", "Data sets", "Prompts", "New tokens", "Total tokens")


def estimate(config: dict) -> list[dict]:
    """Return one row per experiment: its methods, number of cases, grid, prompts and tokens."""
    plan = Plan.from_config(config)
    rows = []
    for name, experiment in config["experiments"].items():
        made = list(plan.jobs_of(name).values())
        rows.append(
            {
                "experiment": name,
                "methods": ", ".join(_methods(name, experiment)),
                "cases": sum(1 for _ in made[0].cases()),
                "grid": _grid(experiment),
                "datasets": len(experiment["datasets"]),
                "prompts": made[0].prompts,
                "new_tokens": sorted({group.new_tokens for group in made[0].groups.values()}),
                "tokens": sum(_tokens(job) for job in made) * config["protocol"]["repetitions"],
            }
        )
    return [*rows, _compression(config), _arena(config)]


def _methods(name: str, experiment: dict) -> list[str]:
    return [*experiment.get("methods", [METHODS.get(name)]), *experiment.get("optional_methods", [])]


def _compression(config: dict) -> dict:
    """Cache compression; a forward pass over a chunk counts as one token, because a short chunk takes about as long."""
    settings = config["compression"]
    made = [compression_job(config, dataset) for dataset in settings["datasets"]]
    job, generation = made[0], settings["generation"]
    reading = settings["texts"] * len(job["cases"]) * -(-settings["tokens"] // settings["chunk"])
    generating = settings["texts"] * len(job["generation_cases"]) * generation["new_tokens"]
    passkey = settings["passkey"]
    asked = len(passkey["depths"]) * passkey["count"] * len(job["passkey_cases"])
    asking = asked * sum(-(-length // passkey["chunk"]) + 6 for length in passkey["lengths"])
    return {
        "experiment": "compression",
        "methods": ", ".join(settings["methods"]),
        "cases": len(job["cases"]),
        "grid": f"{len(settings['budgets'])} budgets",
        "datasets": len(made),
        "prompts": settings["texts"],
        "new_tokens": [generation["new_tokens"]],
        "tokens": len(made) * (reading + generating * config["protocol"]["repetitions"]) + asking,
    }


def _arena(config: dict) -> dict:
    """Return the row of the recorded outputs; further turns of a conversation are not included."""
    settings, datasets = config["arena"], arena_datasets(config)
    prompts = [arena_prompts(config, dataset) for dataset in datasets]
    return {
        "experiment": "arena",
        "methods": "autoregressive, recorded once",
        "cases": 1,
        "grid": "-",
        "datasets": len(datasets),
        "prompts": max(prompts),
        "new_tokens": [settings["new_tokens"]],
        "tokens": sum(prompts) * settings["new_tokens"],
    }


def _tokens(job: Job) -> int:
    return job.prompts * sum(group.new_tokens * len(group.cases) for group in job.groups.values())


def _grid(experiment: dict) -> str:
    sizes = [f"{len(experiment[key])} {key}" for key in GRID if key in experiment]
    if isinstance(experiment["new_tokens"], list):
        sizes.append(f"{len(experiment['new_tokens'])} output lengths")
    return ", ".join(sizes) or "-"


def markdown(config: dict) -> str:
    """Return the counts of a configuration as a Markdown table with a line of totals."""
    rows = estimate(config)
    lines = [f"| {' | '.join(HEADER)} |", "|---|---|--:|---|" + "--:|" * (len(HEADER) - 4)]
    for row in rows:
        cells = [row[key] for key in ("experiment", "methods", "cases", "grid", "datasets", "prompts")]
        cells += [", ".join(map(str, row["new_tokens"])), f"{row['tokens']:,}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines.append(f"| all | | | | | | | {sum(row['tokens'] for row in rows):,} |")
    return "\n".join(lines) + "\n"
