"""The measuring jobs that a configuration asks for.

A job measures *groups* of *cases* on the prompts of one data set. A case is a method with its options. All cases of a
job are interleaved prompt by prompt; each is paired with the autoregressive case of its own group.
"""

from collections.abc import Callable, Iterator

from dynatree.config.compression_grid import BASELINE as FULL_CACHE
from dynatree.config.compression_grid import compressed, unlabelled

BASELINE = "autoregressive"
TUNED_METHODS = ("chain", "fixed_tree")  # the sweep chooses their options
MEASURED, TUNING = "prompts", "tuning"
TRACED = "peers"  # the experiment whose requests are replayed


def jobs(config: dict) -> dict[str, dict]:
    """Every job of a run: its name -> what it measures, complete but for the options that tuning chooses.

    A job has "experiment", "dataset", "split" (the prompts to take, "prompts" or "tuning"), "prompts" (how many),
    "device", "dtype", "backend" (see :func:`dynatree.models.loading.load_pair`), "repetitions", "warmup", "traces"
    (whether records can be replayed), and "groups": name -> "new_tokens", "prompt_tokens" (cut longer prompts; None for
    whole ones) and "cases": key -> "label", "engine", "method", "factors" (columns of the results that tell the
    cases apart) and either "options" or "tuned", the name of the setting that tuning chooses.
    """
    made = {}
    for name, experiment in config["experiments"].items():
        if name != "memory":
            made |= dict(_jobs_of(name, experiment, config))
    return made


def _jobs_of(name: str, experiment: dict, config: dict) -> Iterator[tuple[str, dict]]:
    groups = GROUPS[name](experiment, config)
    for dataset in experiment["datasets"]:
        for dtype in experiment.get("dtypes", [config["dtype"]]):
            suffix = f"-{dtype}" if "dtypes" in experiment else ""
            split = TUNING if name == "sweep" else MEASURED
            yield (
                f"{name}-{dataset}{suffix}",
                {
                    "experiment": name,
                    "dataset": dataset,
                    "split": split,
                    "prompts": experiment.get("prompts", config["prompts"][dataset][_count_key(split)]),
                    "device": config["device"],
                    "dtype": dtype,
                    # number formats are compared on stock layers, which support every format
                    "backend": "stock" if "dtypes" in experiment else config["backend"],
                    "repetitions": config["protocol"]["repetitions"],
                    "warmup": config["protocol"]["warmup"],
                    "traces": name == TRACED,
                    "groups": groups,
                },
            )


def _count_key(split: str) -> str:
    return "tuning" if split == TUNING else "count"


def memory_cases(config: dict) -> dict[str, dict]:
    """The cases whose memory is measured."""
    return _named(config["experiments"]["memory"]["methods"], config)


def without_labels(job: dict) -> dict:
    """What a measurement has to know of a job: all but the names that only readers see."""
    groups = {name: group | {"cases": unlabelled(group["cases"])} for name, group in job["groups"].items()}
    return job | {"groups": groups}


def labels(config: dict, experiment: str) -> dict[str, dict[str, str]]:
    """How readers know the "cases" and "datasets" of an experiment: key -> label."""
    if experiment == "memory":
        cases = memory_cases(config)
    else:
        groups = GROUPS[experiment](config["experiments"][experiment], config).values()
        cases = {key: case for group in groups for key, case in group["cases"].items()}
    datasets = config["experiments"][experiment]["datasets"]
    return {
        "cases": {key: case["label"] for key, case in cases.items()},
        "datasets": {name: config["prompts"][name]["label"] for name in datasets},
    }


def prompt_limits(config: dict, dataset: str) -> dict[str, int]:
    """What the prompts of a data set must satisfy for all experiments that use them, see :func:`prompts.prepare`."""
    made = [job for job in jobs(config).values() if job["dataset"] == dataset]
    groups = [(job["split"], group) for job in made for group in job["groups"].values()]
    cuts = [group["prompt_tokens"] for _, group in groups if group["prompt_tokens"]]
    memory = config["experiments"].get("memory", {"datasets": []})
    compression = config["compression"]
    texts = [compression["tokens"]] if dataset in compression["datasets"] else []
    needed = [group["new_tokens"] for split, group in groups if split == MEASURED]
    needed += [memory["new_tokens"]] if dataset in memory["datasets"] else []
    return {
        "least": max([config["prompt_tokens"]["least"], *cuts, *texts]),
        "most": config["prompt_tokens"]["most"],
        "new_tokens": max(needed, default=0),
        "tuning_new_tokens": max((group["new_tokens"] for split, group in groups if split == TUNING), default=0),
    }


def _group(new_tokens: int, cases: dict, prompt_tokens: int | None = None) -> dict:
    return {"new_tokens": new_tokens, "prompt_tokens": prompt_tokens, "cases": cases}


def _case(label: str, method: str, options: dict, **factors) -> dict:
    return {"label": label, "engine": "dynatree", "method": method, "options": options, "factors": factors}


def _named(keys: list[str], config: dict, **factors) -> dict[str, dict]:
    """Cases of the configuration's ``methods``."""
    return {key: config["methods"][key] | {"factors": factors} for key in keys}


def _baseline(config: dict) -> dict[str, dict]:
    return _named([BASELINE], config)


def _main(experiment: dict, config: dict) -> dict:
    return {"all": _group(experiment["new_tokens"], _named(experiment["methods"], config))}


def _sweep(experiment: dict, config: dict) -> dict:
    """Fixed trees over depth, branching and pruning, and chains over their length."""
    cases = _baseline(config)
    for length in experiment["lengths"]:
        factors = {"depth": length, "branch": 1, "threshold": 0.0}
        cases[f"chain-{length}"] = _case(f"Chain of {length}", "chain", {"length": length}, **factors)
    for depth in experiment["depths"]:
        for branch in experiment["branches"]:
            for threshold in experiment["thresholds"]:
                options = _tree(depth, branch, threshold, experiment["node_budget"])
                factors = {"depth": depth, "branch": branch, "threshold": threshold}
                label = f"Tree {depth}/{branch}/{threshold}"
                cases[f"tree-{depth}-{branch}-{threshold}"] = _case(label, "fixed_tree", options, **factors)
    return {"all": _group(experiment["new_tokens"], cases)}


def _tree(depth: int, branch: int, threshold: float, node_budget: int) -> dict:
    return {"depth": depth, "branch": branch, "prune_probability": threshold, "node_budget": node_budget}


def _ablation(experiment: dict, config: dict) -> dict:
    """From a fixed tree to DynaTree one decision at a time; the steps without adaptive depth also at its depth."""
    full = config["methods"]["dynatree"]["options"]
    breadth = full | {"adapt_depth": False, "history": False}
    base, deepest = full["base_depth"], full["max_depth"]
    fixed = [full[name] for name in ("mid_branch", "prune_probability", "node_budget")]
    cases = _baseline(config)
    for suffix, setting, depth in (("", "published", base), ("_deep", "equal_depth", deepest)):
        factors = {"setting": setting}
        cases[f"fixed{suffix}"] = _case("Fixed tree", "fixed_tree", _tree(depth, *fixed), step="fixed", **factors)
        options = breadth | {"base_depth": depth}
        cases[f"breadth{suffix}"] = _case("+ breadth", "dynatree", options, step="breadth", **factors)
    for step, history in (("depth", False), ("history", full["history"])):
        cases[step] = _case(f"+ {step}", "dynatree", full | {"history": history}, step=step, setting="published")
    return {"all": _group(experiment["new_tokens"], cases)}


def _pruning(experiment: dict, config: dict) -> dict:
    """Fixed trees with and without pruning."""
    cases = _baseline(config)
    branch = experiment["branch"]
    for depth in experiment["depths"]:
        for threshold in (0.0, *experiment["thresholds"]):
            options = _tree(depth, branch, threshold, experiment["node_budget"])
            factors = {"depth": depth, "branch": branch, "threshold": threshold}
            label = f"Depth {depth}, pruned below {threshold}" if threshold else f"Depth {depth}, not pruned"
            cases[f"d{depth}-t{threshold}"] = _case(label, "fixed_tree", options, **factors)
    return {"all": _group(experiment["new_tokens"], cases)}


def _sensitivity(experiment: dict, config: dict) -> dict:
    """DynaTree with one pair of its parameters changed at a time, and with all of them changed."""
    cases = _baseline(config) | _named(["fixed_tree"], config, category="reference")
    start = config["methods"]["dynatree"]["options"] | experiment["start"]
    for category, names in PAIRS.items():
        for pair in experiment[category]:
            setting = ("/" if category == "thresholds" else "-").join(map(str, pair))
            options = start | dict(zip(names, pair, strict=True))
            cases[f"{category}-{setting}"] = _sensitivity_case(category, setting, options)
    for setting, changes in experiment["cross"].items():
        cases[f"cross-{setting}"] = _sensitivity_case("cross", setting, start | changes)
    return {"all": _group(experiment["new_tokens"], cases)}


PAIRS = {
    "thresholds": ("high_confidence", "low_confidence"),
    "branches": ("min_branch", "max_branch"),
    "depths": ("base_depth", "max_depth"),
}


def _sensitivity_case(category: str, setting: str, options: dict) -> dict:
    middle = min(max(options["mid_branch"], options["min_branch"]), options["max_branch"])
    options = options | {"mid_branch": middle}
    factors = {name: options[name] for names in PAIRS.values() for name in names}
    return _case(setting, "dynatree", options, category=category, setting=setting, **factors)


def _length(experiment: dict, config: dict) -> dict:
    return {str(n): _group(n, _named(experiment["methods"], config)) for n in experiment["new_tokens"]}


def _peers(experiment: dict, config: dict) -> dict:
    """Whatever decodes without loss, assisted generation also with several fixed numbers of drafted tokens."""
    cases = _named(experiment["methods"], config)
    for count in experiment["assistant_tokens"]:
        label, options = f"HF assisted, K={count}", {"num_assistant_tokens": count}
        cases[f"assisted-{count}"] = _case(label, "assisted", options) | {"engine": "huggingface"}
    return {str(n): _group(n, cases) for n in experiment["new_tokens"]}


def _prompt_length(experiment: dict, config: dict) -> dict:
    return {
        str(limit): _group(experiment["new_tokens"], _named(experiment["methods"], config, limit=limit), limit)
        for limit in experiment["limits"]
    }


def _draft_cache(experiment: dict, config: dict) -> dict:
    """The same policies with the draft's cache whole and compressed."""
    groups = {}
    for limit in experiment["limits"]:
        cases = _named([BASELINE], config, limit=limit)
        for policy in experiment["methods"]:
            if policy != BASELINE:
                cases |= _with_draft_caches(policy, limit, experiment, config)
        groups[str(limit)] = _group(experiment["new_tokens"], cases, limit)
    return groups


def _with_draft_caches(policy: str, limit: int, experiment: dict, config: dict) -> dict:
    factors = {"limit": limit, "policy": policy}
    cases = _named([policy], config, cache=FULL_CACHE, **factors)
    method = config["methods"][policy]
    for cache in experiment["caches"]:
        settings = config["compression"]["methods"][cache]
        for budget in experiment["budgets"]:
            chosen = compressed(cache, settings, budget)
            compression = {"method": chosen["method"], "every": experiment["every"]} | chosen["options"]
            options = method["options"] | {"draft_cache": compression}
            label = f"{method['label']}, {chosen['label']}"
            cases[f"{policy}-{cache}-{budget}"] = _case(
                label, method["method"], options, cache=cache, budget=budget, **factors
            )
    return cases


GROUPS: dict[str, Callable[[dict, dict], dict]] = {
    "main": _main,
    "sweep": _sweep,
    "ablation": _ablation,
    "pruning": _pruning,
    "sensitivity": _sensitivity,
    "length": _length,
    "peers": _peers,
    "prompt_length": _prompt_length,
    "draft_cache": _draft_cache,
    "dtypes": _main,
}
