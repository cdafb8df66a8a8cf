"""Made-up summaries of the experiments over settings, on the grids of the shipped configurations."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd

from dynatree.config.experiments import jobs
from dynatree.config.jobs import AGAIN, Case
from dynatree.config.load import load_config

CONFIG = Path(__file__).resolve().parents[2] / "config"
PROMPTS = 8


def experiment_frame(experiment: str, grid: str = "demo", datasets: int | None = None) -> pd.DataFrame:
    """Summary of an experiment as its CSV file is read.

    Args:
        experiment: sweep, ablation, pruning or sensitivity.
        grid: name of the configuration whose cases it has.
        datasets: how many data sets; None for those of the configuration.
    """
    config = load_config(CONFIG / f"{grid}.yaml")
    if datasets:
        config["experiments"][experiment]["datasets"] = list(config["prompts"])[:datasets]
    rows = []
    for job, settings in jobs(config).items():
        if settings.experiment == experiment:
            names = {"experiment": experiment, "job": job, "dataset": settings.dataset}
            names["dataset_label"] = config["prompts"][settings.dataset]["label"]
            for case, method in settings.groups["all"].cases.items():
                if case == AGAIN:
                    continue
                rows.append(names | _row(names["dataset"], case, method))
    return pd.read_csv(io.StringIO(pd.DataFrame(rows).to_csv(index=False)))


def _row(dataset: str, case: str, method: Case) -> dict:
    rng = np.random.default_rng([ord(c) for c in dataset + case])
    options = {"depth": 3, "branch": 2} if method.tuned else method.options
    baseline = case == "autoregressive"
    depth = options.get("max_depth", options.get("depth", options.get("length", 0)))
    branch = options.get("max_branch", options.get("branch", 1))
    pruning = options.get("prune_probability", 0)
    tokens = 1 if baseline else 1 + 1.5 * (1 - np.exp(-depth / 4)) * (1.1 - pruning) * branch**0.2 * rng.normal(1, 0.02)
    nodes = 0 if baseline else depth * branch ** (1.3 - 3 * pruning) / tokens
    speedup = 1 if baseline else tokens / (0.75 + 0.03 * depth + 0.02 * nodes)
    bounded = {
        "throughput": 13 * speedup,
        "tokens_per_round": tokens,
        "speedup": speedup,
        "acceptance_rate": np.nan if baseline else (tokens - 1) / depth,
    }
    row = {
        "work_speedup": speedup,
        "stands_for": "WikiText-2",
        "group": "all",
        "case": case,
        "label": method.label,
        "method": method.method,
        "dtype": "float32",
    }
    row |= {"options": json.dumps(options), "prompts": PROMPTS, "new_tokens": 64, "identical": PROMPTS}
    for name, value in bounded.items():
        spread = 0 if baseline else rng.uniform(0.02, 0.08)
        row |= {name: value, f"{name}_low": value * (1 - spread), f"{name}_high": value * (1 + spread)}
    return row | {
        "draft_precision": np.nan if baseline else (tokens - 1) / (nodes * tokens),
        "draft_forwards_per_token": depth / tokens,
        "verified_per_token": nodes,
        "looping_share": 0.2,
        "speedup_p": np.nan if baseline else rng.uniform(0, 0.2) ** 2,
        "speedup_effect": np.nan if baseline else speedup - 1,
        **method.factors,
    }
