"""What a configuration will measure, and about how long that takes."""

from dynatree.config.compression_grid import compression_job
from dynatree.config.experiments import jobs

MACHINES = ("A100", "two CPU cores")
# Seconds per token of plain decoding. Pythia-2.8B on an A100 is the published 133 tokens/s. The embedded target on two
# cores was measured; on an A100 as many layers take as long as Pythia's, launches being the bound. The rest follows
# from the bytes of the weights, which a CPU must read for each token.
SECONDS_PER_TOKEN = {
    "pythia-2.8b": {"A100": 1 / 133, "two CPU cores": 1.4},
    "smollm2-135m-instruct": {"A100": 1 / 133, "two CPU cores": 0.073},
    "tiny-target": {"A100": 0.001, "two CPU cores": 0.004},
}
METHODS = {  # of the experiments whose configuration does not list them
    "sweep": "autoregressive, chains, fixed trees",
    "ablation": "autoregressive, fixed tree, + breadth, + depth, + history",
    "pruning": "autoregressive, fixed trees",
    "sensitivity": "autoregressive, fixed tree, dynatree",
}
HEADER = ("Experiment", "Methods", "Cases", "Grid", "Data sets", "Prompts", "New tokens", "Tokens in all", *MACHINES)


def plan(config: dict) -> list[dict]:
    """One row per experiment: its methods, cases, grid, prompts, tokens, and hours on each machine.

    Hours are an upper estimate: every method at the speed of plain decoding.
    """
    rows = []
    for name, experiment in config["experiments"].items():
        if name == "memory":
            groups = {"": {"new_tokens": experiment["new_tokens"], "cases": dict.fromkeys(experiment["methods"])}}
            made = [{"prompts": experiment["prompts"], "groups": groups} for _ in experiment["datasets"]]
        else:
            made = [job for job in jobs(config).values() if job["experiment"] == name]
        tokens = sum(_tokens(job) for job in made) * config["protocol"]["repetitions"]
        new_tokens = sorted({group["new_tokens"] for group in made[0]["groups"].values()})
        rate = SECONDS_PER_TOKEN[config["models"]["target"]["name"]]
        rows.append(
            {
                "experiment": name,
                "methods": ", ".join(experiment.get("methods", [METHODS.get(name)])),
                "cases": sum(len(group["cases"]) for group in made[0]["groups"].values()),
                "grid": _grid(experiment),
                "datasets": len(experiment["datasets"]),
                "prompts": made[0]["prompts"],
                "new_tokens": new_tokens,
                "tokens": tokens,
                "hours": {machine: tokens * rate[machine] / 3600 for machine in MACHINES},
            }
        )
    return [*rows, _compression(config)]


def _compression(config: dict) -> dict:
    """Cache compression; a pass over a chunk counts as one token, since it takes about as long while it is short."""
    settings = config["compression"]
    made = [compression_job(config, dataset) for dataset in settings["datasets"]]
    job, generation = made[0], settings["generation"]
    reading = settings["texts"] * len(job["cases"]) * -(-settings["tokens"] // settings["chunk"])
    generating = settings["texts"] * len(job["generation_cases"]) * generation["new_tokens"]
    passkey = settings["passkey"]
    asked = len(passkey["depths"]) * passkey["count"] * len(job["passkey_cases"])
    asking = asked * sum(-(-length // passkey["chunk"]) + 6 for length in passkey["lengths"])
    tokens = len(made) * (reading + generating * config["protocol"]["repetitions"]) + asking
    rate = SECONDS_PER_TOKEN[config["models"]["target"]["name"]]
    return {
        "experiment": "compression",
        "methods": ", ".join(settings["methods"]),
        "cases": len(job["cases"]),
        "grid": f"{len(settings['budgets'])} budgets",
        "datasets": len(made),
        "prompts": settings["texts"],
        "new_tokens": [generation["new_tokens"]],
        "tokens": tokens,
        "hours": {machine: tokens * rate[machine] / 3600 for machine in MACHINES},
    }


def _tokens(job: dict) -> int:
    return sum(group["new_tokens"] * len(group["cases"]) for group in job["groups"].values()) * job["prompts"]


GRID = ("lengths", "depths", "branches", "thresholds", "cross", "limits", "dtypes", "caches", "budgets")


def _grid(experiment: dict) -> str:
    sizes = [f"{len(experiment[key])} {key}" for key in GRID if key in experiment]
    if isinstance(experiment["new_tokens"], list):
        sizes.append(f"{len(experiment['new_tokens'])} lengths of the output")
    return ", ".join(sizes) or "-"


def markdown(config: dict) -> str:
    """The plan of a configuration as a Markdown table with a line of totals."""
    rows = plan(config)
    lines = [f"| {' | '.join(HEADER)} |", "|---|---|--:|---|" + "--:|" * (len(HEADER) - 4)]
    for row in rows:
        cells = [row[key] for key in ("experiment", "methods", "cases", "grid", "datasets", "prompts")]
        cells += [", ".join(map(str, row["new_tokens"])), f"{row['tokens']:,}"]
        lines.append(f"| {' | '.join(map(str, [*cells, *(_time(row['hours'][m]) for m in MACHINES)]))} |")
    totals = [_time(sum(row["hours"][machine] for row in rows)) for machine in MACHINES]
    lines.append(f"| all | | | | | | | {sum(row['tokens'] for row in rows):,} | {' | '.join(totals)} |")
    return "\n".join(lines) + "\n"


def _time(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{60 * hours:.0f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"
