"""The experiments of a configuration and their jobs."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from dynatree.config.compression_grid import FULL_CACHE, compressed
from dynatree.config.jobs import AGAIN, BASELINE, PROMPTS, TUNING, Case, DisturbanceRule, Group, Job

TRACED = "peers"  # the experiment whose requests are replayed

Groups = dict[str, Group]
Cases = dict[str, Case]


def jobs(config: dict) -> dict[str, Job]:
    """Return the decoding jobs of a run by name; options that tuning chooses are not resolved yet."""
    made = {}
    for name in GROUPS:
        made |= dict(_jobs_of(name, config))
    return made


def _jobs_of(name: str, config: dict) -> Iterator[tuple[str, Job]]:
    experiment = config["experiments"][name]
    protocol = config["protocol"]
    split, count = (TUNING, "tuning") if name == "sweep" else (PROMPTS, "count")
    for dataset in experiment["datasets"]:
        job = Job(
            experiment=name,
            dataset=dataset,
            split=split,
            prompts=experiment.get("prompts", config["prompts"][dataset][count]),
            device=config["device"],
            dtype=config["dtype"],
            backend=config["backend"],
            repetitions=protocol["repetitions"],
            warmup=protocol["warmup"],
            traces=name == TRACED,
            groups=_with_pair(GROUPS[name](experiment, of_dataset(config, dataset))),
            calibration=protocol["calibration"],
            sessions=protocol["sessions"],
            seed=protocol["seed"],
            rule=DisturbanceRule(**protocol["disturbed"]),
        )
        if "dtypes" not in experiment:
            yield f"{name}-{dataset}", job
        for dtype in experiment.get("dtypes", ()):
            # number formats are compared on layers that support every format
            backend = "stock" if job.backend == "small_batch" else job.backend
            yield f"{name}-{dataset}-{dtype}", replace(job, dtype=dtype, backend=backend)


def of_dataset(config: dict, dataset: str) -> dict:
    """Return the configuration with the options that methods have on a data set, by the set that it stands for."""
    stands_for = config["prompts"][dataset]["stands_for"]
    return config | {"methods": {key: of_set(method, stands_for) for key, method in config["methods"].items()}}


def of_set(method: dict, stands_for: str) -> dict:
    """Return a method of the configuration with its options on a published data set, as :class:`Case` takes it."""
    own = method.get("by_dataset", {}).get(stands_for, {})
    kept = {name: value for name, value in method.items() if name != "by_dataset"}
    return kept | ({"options": kept["options"] | own} if own else {})


def _with_pair(groups: Groups) -> Groups:
    """Return the groups of a job with the baseline a second time in the last one, as an A/A pair."""
    name, group = list(groups.items())[-1]
    again = replace(group.cases[BASELINE], label=f"{group.cases[BASELINE].label}, again")
    return groups | {name: replace(group, cases=group.cases | {AGAIN: again})}


def memory_jobs(config: dict) -> dict[str, Job]:
    """Return the jobs that measure peak memory, by data set."""
    experiment = config["experiments"]["memory"]
    return {
        dataset: Job(
            experiment="memory",
            dataset=dataset,
            split=PROMPTS,
            prompts=experiment["prompts"],
            device=config["device"],
            dtype=config["dtype"],
            backend=config["backend"],
            repetitions=1,
            warmup=0,
            traces=False,
            groups=_main(experiment, of_dataset(config, dataset)),
        )
        for dataset in experiment["datasets"]
    }


def _named(keys: list[str], config: dict, **factors) -> Cases:
    """Cases of the configuration's ``methods``."""
    return {key: Case.from_json(config["methods"][key] | {"factors": factors}) for key in keys}


def _case(label: str, method: str, options: dict, **factors) -> Case:
    return Case("dynatree", method, options, factors=factors, label=label)


def _baseline(config: dict) -> Cases:
    return _named([BASELINE], config)


def _main(experiment: dict, config: dict) -> Groups:
    return {"all": Group(experiment["new_tokens"], _named(experiment["methods"], config))}


def _sweep(experiment: dict, config: dict) -> Groups:
    """Return fixed trees over depth, branching and pruning threshold, and chains over their length."""
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
    return {"all": Group(experiment["new_tokens"], cases)}


def _tree(depth: int, branch: int, threshold: float, node_budget: int) -> dict:
    return {"depth": depth, "branch": branch, "prune_probability": threshold, "node_budget": node_budget}


def _ablation(experiment: dict, config: dict) -> Groups:
    """From a fixed tree to DynaTree, one decision at a time; steps of constant depth also at the maximum depth.

    A published tree of constant depth D drafts D + 1 tokens, because its root is a drafted token.
    """
    full = config["methods"]["dynatree"]["options"]
    breadth = full | {"adapt_depth": False, "history": False}
    base, deepest = full["base_depth"], full["max_depth"]
    fixed = [full[name] for name in ("mid_branch", "prune_probability", "node_budget")]
    cases = _baseline(config)
    for suffix, setting, depth in (("", "published", base + 1), ("_deep", "equal_depth", deepest)):
        factors = {"setting": setting}
        cases[f"fixed{suffix}"] = _case("Fixed tree", "fixed_tree", _tree(depth, *fixed), step="fixed", **factors)
        options = breadth | {"base_depth": depth}
        cases[f"breadth{suffix}"] = _case("+ breadth", "dynatree", options, step="breadth", **factors)
    for step, history in (("depth", False), ("history", full["history"])):
        cases[step] = _case(f"+ {step}", "dynatree", full | {"history": history}, step=step, setting="published")
    return {"all": Group(experiment["new_tokens"], cases)}


def _pruning(experiment: dict, config: dict) -> Groups:
    """Return fixed trees with and without pruning."""
    cases = _baseline(config)
    branch = experiment["branch"]
    for depth in experiment["depths"]:
        for threshold in (0.0, *experiment["thresholds"]):
            options = _tree(depth, branch, threshold, experiment["node_budget"])
            factors = {"depth": depth, "branch": branch, "threshold": threshold}
            label = f"Depth {depth}, pruned below {threshold}" if threshold else f"Depth {depth}, not pruned"
            cases[f"d{depth}-t{threshold}"] = _case(label, "fixed_tree", options, **factors)
    return {"all": Group(experiment["new_tokens"], cases)}


def _sensitivity(experiment: dict, config: dict) -> Groups:
    """DynaTree with one pair of parameters changed at a time, and with several changed together."""
    cases = _baseline(config) | _named(["fixed_tree"], config, category="reference")
    start = config["methods"]["dynatree"]["options"] | experiment["start"]
    for category, names in PAIRS.items():
        for pair in experiment[category]:
            setting = ("/" if category == "thresholds" else "-").join(map(str, pair))
            options = start | dict(zip(names, pair, strict=True))
            cases[f"{category}-{setting}"] = _sensitivity_case(category, setting, options)
    for setting, changes in experiment["cross"].items():
        cases[f"cross-{setting}"] = _sensitivity_case("cross", setting, start | changes)
    return {"all": Group(experiment["new_tokens"], cases)}


PAIRS = {
    "thresholds": ("high_confidence", "low_confidence"),
    "branches": ("min_branch", "max_branch"),
    "depths": ("base_depth", "max_depth"),
}


def _sensitivity_case(category: str, setting: str, options: dict) -> Case:
    middle = min(max(options["mid_branch"], options["min_branch"]), options["max_branch"])
    options = options | {"mid_branch": middle}
    factors = {name: options[name] for names in PAIRS.values() for name in names}
    return _case(setting, "dynatree", options, category=category, setting=setting, **factors)


def _length(experiment: dict, config: dict) -> Groups:
    return {str(n): Group(n, _named(experiment["methods"], config)) for n in experiment["new_tokens"]}


def _peers(experiment: dict, config: dict) -> Groups:
    """Every lossless method; assisted generation also with several fixed numbers of drafted tokens."""
    cases = _named([*experiment["methods"], *experiment["optional_methods"]], config)
    for count in experiment["assistant_tokens"]:
        options = {"num_assistant_tokens": count}
        cases[f"assisted-{count}"] = Case("huggingface", "assisted", options, label=f"HF assisted, K={count}")
    return {str(n): Group(n, cases) for n in experiment["new_tokens"]}


def _prompt_length(experiment: dict, config: dict) -> Groups:
    return {
        str(limit): Group(experiment["new_tokens"], _named(experiment["methods"], config, limit=limit), limit)
        for limit in experiment["limits"]
    }


def _draft_cache(experiment: dict, config: dict) -> Groups:
    """Return the same policies with a full and with a compressed draft cache."""
    groups = {}
    for limit in experiment["limits"]:
        cases = _named([BASELINE], config, limit=limit)
        for policy in experiment["methods"]:
            if policy != BASELINE:
                cases |= _with_draft_caches(policy, limit, experiment, config)
        groups[str(limit)] = Group(experiment["new_tokens"], cases, limit)
    return groups


def _with_draft_caches(policy: str, limit: int, experiment: dict, config: dict) -> Cases:
    factors = {"limit": limit, "policy": policy}
    cases = _named([policy], config, cache=FULL_CACHE, **factors)
    full = cases[policy]
    for cache in experiment["caches"]:
        settings = config["compression"]["methods"][cache]
        for budget in experiment["budgets"]:
            chosen = compressed(cache, settings, budget)
            compression = {"method": chosen["method"], "every": experiment["every"]} | chosen["options"]
            cases[f"{policy}-{cache}-{budget}"] = replace(
                full,
                draft_cache=compression,
                factors={"cache": cache, "budget": budget} | factors,
                label=f"{full.label}, {chosen['label']}",
            )
    return cases


GROUPS: dict[str, Callable[[dict, dict], Groups]] = {
    "main": _main,
    "sweep": _sweep,
    "ablation": _ablation,
    "pruning": _pruning,
    "sensitivity": _sensitivity,
    "length": _length,
    "prompt_length": _prompt_length,
    "peers": _peers,
    "draft_cache": _draft_cache,
    "dtypes": _main,
}
