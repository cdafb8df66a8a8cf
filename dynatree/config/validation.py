"""Checks of a configuration before anything is computed."""

import re
from typing import TYPE_CHECKING, Any

import yaml
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import Draft202012Validator, extend

from dynatree.config.arena import arena_datasets
from dynatree.config.compression_grid import takes_budget
from dynatree.config.experiments import of_set
from dynatree.config.jobs import BASELINE, LLAMA_CPP, Case
from dynatree.config.optional_methods import check_llama_cpp
from dynatree.config.plan import Plan
from dynatree.errors import DynatreeError
from dynatree.utils.paths import repository_path

if TYPE_CHECKING:
    from dynatree.policies.registry import Policy

SCHEMA = "config/schema.yaml"
SINKS = 4  # the default of head_aware
HUGGINGFACE_OPTIONS = {
    "generate": set(),
    "assisted": {"num_assistant_tokens"},
    "prompt_lookup": {"num_tokens"},
    "static": {"capacity"},
}


def _pattern(validator, pattern: str, text, schema):
    """Match "$" at the end of the text only, as JSON Schema does; in Python a newline may follow."""
    if isinstance(text, str) and not re.search(pattern.replace("$", r"\Z"), text):
        yield ValidationError(f"{text!r} does not match {pattern!r}")


Validator = extend(Draft202012Validator, {"pattern": _pattern})


def check(config: dict) -> Plan:
    """Check a configuration and return its plan.

    Raises:
        DynatreeError: the configuration has a mistake; the message is one line and names the key of the first one.
    """
    validator = Validator(yaml.safe_load(repository_path(SCHEMA).read_text()))
    mistakes = sorted(validator.iter_errors(config), key=lambda error: (len(error.absolute_path), error.message))
    if mistakes:
        raise DynatreeError(_explain(best_match(mistakes)))
    names = [model["name"] for model in config["models"].values()]
    if len(set(names)) < len(names):
        raise DynatreeError("config: models/target/name and models/draft/name must differ")
    if config["prompt_tokens"]["min"] > config["prompt_tokens"]["max"]:
        raise DynatreeError("config: prompt_tokens/min exceeds prompt_tokens/max")
    if config["backend"] == "small_batch" and (config["device"], config["dtype"]) != ("cpu", "float32"):
        raise DynatreeError("config: backend: small_batch needs device: cpu and dtype: float32; choose backend: stock")
    if config["backend"] == "graphs" and not config["device"].startswith("cuda"):
        raise DynatreeError("config: backend: graphs needs device: cuda; choose backend: stock")
    for key, dataset in config["prompts"].items():
        _check_dataset(key, dataset)
    for key, method in config["methods"].items():
        for stands_for in ("", *method.get("by_dataset", ())):
            _check_case(f"methods/{key}", Case.from_json(of_set(method, stands_for)))
    _check_heads(config)
    _check_compression(config)
    _check_datasets("arena", arena_datasets(config), config)
    for name, experiment in config["experiments"].items():
        _check_references(name, experiment, config)
    _check_draft_caches(config)
    _check_engines(config)
    plan = Plan.from_config(config)
    _check_grids(plan)
    return plan


def _explain(mistake: Any) -> str:
    """Return the message on a ``ValidationError``, whose schema and values jsonschema types by their defaults."""
    key = "/".join(map(str, mistake.absolute_path)) or "the configuration"
    if mistake.validator == "additionalProperties":
        known = set(mistake.schema.get("properties", {}))
        unknown = sorted(set(mistake.instance) - known)
        return f"config: {key} has the unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
    if mistake.validator == "oneOf":
        choices = " or ".join(" and ".join(choice["required"]) for choice in mistake.validator_value)
        return f"config: {key} needs either {choices}, and not both"
    return f"config: {key}: {mistake.message}"


def _check_dataset(key: str, dataset: dict) -> None:
    cut = [name for name in ("mode", "length") if name in dataset]
    kind = dataset["source"]["kind"]
    if kind in ("file", "questions"):
        if cut:
            raise DynatreeError(
                f"config: prompts/{key}/{cut[0]} does not apply to kind {kind}, whose prompts are not cut"
            )
        if "path" not in dataset["source"] and (kind == "file" or "file" not in dataset["source"]):
            raise DynatreeError(f"config: prompts/{key}/source of kind {kind} needs a path")
    elif len(cut) < 2:
        raise DynatreeError(f"config: prompts/{key} needs mode (published or tokens) and length")


def _check_heads(config: dict) -> None:
    heads = config["heads"]
    _check_datasets("heads", heads["datasets"], config)
    if heads["local"] >= heads["recent"]:
        raise DynatreeError("config: heads/recent must exceed heads/local")
    if heads["sinks"] + heads["local"] >= heads["tokens"]:
        raise DynatreeError("config: heads/tokens must exceed heads/sinks and heads/local together")


def _check_compression(config: dict) -> None:
    """Check what the schema cannot express; options are checked later, because building the methods needs torch."""
    settings = config["compression"]
    _check_datasets("compression", settings["datasets"], config)
    for dataset in settings["datasets"]:
        if settings["texts"] > config["prompts"][dataset]["count"]:
            raise DynatreeError(
                f"config: compression/texts asks for {settings['texts']} texts, but prompts/{dataset}/count is "
                f"{config['prompts'][dataset]['count']}"
            )
    if settings["generation"]["prompt_tokens"] > settings["tokens"]:
        raise DynatreeError("config: compression/generation/prompt_tokens exceeds compression/tokens")
    for key, method in settings["methods"].items():
        _check_compressing(f"config: compression/methods/{key}", method, settings["methods"])
        if method["method"] == "head_aware" and method["options"].get("sinks", SINKS) < config["heads"]["sinks"]:
            raise DynatreeError(
                f"config: compression/methods/{key}/options/sinks is below heads/sinks, beside which windows are found"
            )


def _check_compressing(place: str, method: dict, methods: dict[str, dict]) -> None:
    given = {"budget", "keep_ratio", "classification"} | ({"recent"} if "recent_share" in method else set())
    if taken := sorted(given & set(method["options"])):
        raise DynatreeError(f"{place}/options/{taken[0]} is given by the pipeline; remove it")
    if "rows_of" in method and methods.get(method["rows_of"], {}).get("method") != "head_aware":
        raise DynatreeError(f"{place}/rows_of must name a method of this section whose method is head_aware")
    if "recent_share" in method and not takes_budget(method):
        raise DynatreeError(f"{place}/recent_share needs the budgets of the grid")


def _check_datasets(place: str, datasets: list[str], config: dict) -> None:
    for dataset in datasets:
        if dataset not in config["prompts"]:
            known = ", ".join(config["prompts"])
            raise DynatreeError(f"config: {place}/datasets names {dataset!r}; known are {known}")


def _check_references(name: str, experiment: dict, config: dict) -> None:
    _check_datasets(f"experiments/{name}", experiment["datasets"], config)
    for dataset in experiment["datasets"]:
        _check_counts(name, experiment, dataset, config["prompts"][dataset])
    for key in ("methods", "optional_methods"):
        for method in experiment.get(key, []):
            if method not in config["methods"]:
                known = ", ".join(config["methods"])
                raise DynatreeError(f"config: experiments/{name}/{key} names {method!r}; known are {known}")


def _check_counts(name: str, experiment: dict, dataset: str, settings: dict) -> None:
    if name == "sweep" and not settings["tuning"]:
        raise DynatreeError(f"config: experiments/sweep uses {dataset}, so prompts/{dataset}/tuning must be 1 or more")
    if experiment.get("prompts", 0) > settings["count"]:
        raise DynatreeError(
            f"config: experiments/{name}/prompts asks for {experiment['prompts']} prompts, but prompts/{dataset}/count "
            f"is {settings['count']}"
        )
    measured = experiment.get("prompts", settings["count"])
    if name != "memory" and measured >= settings["count"] + settings["tuning"]:
        raise DynatreeError(
            f"config: experiments/{name} measures every prompt of {dataset}, but the warm-up needs others; "
            f"raise prompts/{dataset}/tuning"
        )
    longest = max(experiment.get("limits", [0]))
    if settings.get("mode") == "tokens" and longest > settings["length"]:
        raise DynatreeError(
            f"config: experiments/{name}/limits asks for {longest} tokens, but prompts/{dataset}/length is "
            f"{settings['length']}"
        )


def _check_draft_caches(config: dict) -> None:
    place, experiment = "config: experiments/draft_cache", config["experiments"]["draft_cache"]
    methods = config["compression"]["methods"]
    for name in experiment["caches"]:
        if name not in methods or not takes_budget(methods[name]):
            known = ", ".join(key for key, method in methods.items() if takes_budget(method))
            raise DynatreeError(f"{place}/caches names {name!r}; methods with a budget in compression are {known}")
    for name in experiment["methods"]:
        method = Case.from_json(of_set(config["methods"][name], ""))
        if method.engine != "dynatree" or method.tuned:
            raise DynatreeError(
                f"{place}/methods names {name!r}; it takes methods of engine dynatree that have options"
            )
        if method.draft_cache is not None:
            raise DynatreeError(f"{place}/methods names {name!r}, which has a draft_cache already; remove that")
        if name != BASELINE and not _policy(method).drafts_with_model:
            raise DynatreeError(f"{place}/methods names {name!r}, which drafts without a model")


def _check_engines(config: dict) -> None:
    """Raise unless llama.cpp and compiled methods of Hugging Face are measured only where they run."""
    for name, experiment in config["experiments"].items():
        for key in ("methods", "optional_methods"):
            for method in experiment.get(key, []):
                _check_engine(f"config: experiments/{name}/{key} names {method!r}", key, method, config)


def _check_engine(place: str, key: str, method: str, config: dict) -> None:
    case = Case.from_json(of_set(config["methods"][method], ""))
    optional = case.engine == LLAMA_CPP
    if optional != (key == "optional_methods"):
        raise DynatreeError(f"{place}; optional_methods of peers is the place for engine llama_cpp, and for no other")
    if optional and (config["device"], config["dtype"]) != ("cpu", "float32"):
        raise DynatreeError(f"{place}, but llama.cpp is compared with device: cpu and dtype: float32 only; remove it")
    if (case.engine, case.method) == ("huggingface", "static") and not config["device"].startswith("cuda"):
        raise DynatreeError(f"{place}, but static needs device: cuda; on a CPU it compiles for minutes; remove it")


def _check_grids(plan: Plan) -> None:
    """Raise unless every case of every grid is possible."""
    for job in plan.jobs.values():
        for _, key, case in job.cases():
            _check_case(f"experiments/{job.experiment}: case {key}", case)


def _check_case(place: str, case: Case) -> None:
    if case.tuned:
        if case.method != case.tuned:
            raise DynatreeError(f"config: {place}: tuned: {case.tuned} needs method {case.tuned}, not {case.method}")
        return
    try:
        if case.engine == "huggingface":
            _check_huggingface(case)
        elif case.engine == LLAMA_CPP:
            check_llama_cpp(case.method, case.options, case.draft_cache)
        else:
            _policy(case)  # a draft cache is checked when a job begins, because compression methods need torch
    except DynatreeError as mistake:
        raise DynatreeError(f"config: {place}: {mistake}") from mistake


def _policy(case: Case) -> "Policy":
    from dynatree.policies.registry import make_policy

    return make_policy(case.method, **case.options)


def _check_huggingface(case: Case) -> None:
    name = case.method
    if name not in HUGGINGFACE_OPTIONS:
        raise DynatreeError(f"unknown Hugging Face method {name!r}; choose one of {', '.join(HUGGINGFACE_OPTIONS)}")
    unknown = sorted(set(case.options) - HUGGINGFACE_OPTIONS[name])
    if case.draft_cache is not None:
        unknown.append("draft_cache")
    if unknown:
        raise DynatreeError(f"Hugging Face's {name!r} does not take {', '.join(unknown)}")
