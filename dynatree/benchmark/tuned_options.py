"""Put the settings that tuning has chosen into a job, and check what only torch can tell."""

from dynatree.errors import DynatreeError
from dynatree.kvcompress.registry import find_method


def resolve(job: dict, tuned: dict[str, dict]) -> dict:
    """``job`` with "options" in every case.

    Args:
        job: see :func:`dynatree.config.experiments.jobs`.
        tuned: name of a setting -> the options chosen.

    Raises:
        DynatreeError: a case needs a setting that was not chosen, or a compression that cannot be.
    """
    groups = {name: group | {"cases": resolve_cases(group["cases"], tuned)} for name, group in job["groups"].items()}
    return job | {"groups": groups}


def resolve_cases(cases: dict[str, dict], tuned: dict[str, dict]) -> dict[str, dict]:
    """``cases`` with the chosen options in place of the names of the settings."""
    resolved = {}
    for key, case in cases.items():
        setting = case.get("tuned")
        if setting is not None and setting not in tuned:
            raise DynatreeError(f"case {key!r} needs the tuned setting {setting!r}, but tuning chose {list(tuned)}")
        chosen = {"options": tuned[setting]} if setting else {}
        resolved[key] = {name: value for name, value in case.items() if name != "tuned"} | chosen
        _check_draft_cache(key, resolved[key]["options"])
    return resolved


def _check_draft_cache(key: str, options: dict) -> None:
    try:
        find_method(options.get("draft_cache"))
    except DynatreeError as mistake:
        raise DynatreeError(f"config: case {key!r}: draft_cache: {mistake}") from mistake
