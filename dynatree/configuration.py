"""Check a run's configuration before anything is computed."""

from pathlib import Path

import jsonschema
import yaml

from dynatree.errors import DynatreeError

SCHEMA = Path(__file__).resolve().parent.parent / "config" / "schema.yaml"
HUGGINGFACE_OPTIONS = {"generate": set(), "assisted": {"num_assistant_tokens"}}


def check(config: dict) -> None:
    """Raise a one-line DynatreeError that names the key of the first mistake, if there is one."""
    validator = jsonschema.Draft202012Validator(yaml.safe_load(SCHEMA.read_text()))
    mistakes = sorted(validator.iter_errors(config), key=lambda error: (len(error.absolute_path), error.message))
    if mistakes:
        raise DynatreeError(_explain(jsonschema.exceptions.best_match(mistakes)))
    _check_references(config)
    for key, method in config["methods"].items():
        _check_method(key, method)


def _explain(mistake: jsonschema.ValidationError) -> str:
    key = "/".join(map(str, mistake.absolute_path)) or "the configuration"
    if mistake.validator == "additionalProperties":
        known = set(mistake.schema.get("properties", {}))
        unknown = sorted(set(mistake.instance) - known)
        return f"config: {key} has the unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
    return f"config: {key}: {mistake.message}"


def _check_references(config: dict) -> None:
    for name, experiment in config["experiments"].items():
        for dataset in experiment["prompts"]:
            if dataset not in config["prompts"]:
                raise DynatreeError(
                    f"config: experiments/{name}/prompts names {dataset!r}; known are {', '.join(config['prompts'])}"
                )
    names = [model["name"] for model in config["models"].values()]
    if len(set(names)) < len(names):
        raise DynatreeError("config: models/target/name and models/draft/name must differ")
    if config["prompt_tokens"]["least"] > config["prompt_tokens"]["most"]:
        raise DynatreeError("config: prompt_tokens/least exceeds prompt_tokens/most")


def _check_method(key: str, method: dict) -> None:
    try:
        if method["engine"] == "huggingface":
            _check_huggingface(method)
        else:
            from dynatree.policies import make_policy

            make_policy(method["method"], **method["options"])
    except DynatreeError as mistake:
        raise DynatreeError(f"config: methods/{key}: {mistake}") from mistake


def _check_huggingface(method: dict) -> None:
    name = method["method"]
    if name not in HUGGINGFACE_OPTIONS:
        raise DynatreeError(f"unknown Hugging Face method {name!r}; choose one of {', '.join(HUGGINGFACE_OPTIONS)}")
    unknown = sorted(set(method["options"]) - HUGGINGFACE_OPTIONS[name])
    if unknown:
        raise DynatreeError(f"Hugging Face's {name!r} does not take {', '.join(unknown)}")
