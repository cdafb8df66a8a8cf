"""The cases of cache compression in a configuration: each method with every budget of the grid."""

from pathlib import Path

FULL_CACHE = "full"  # the case without compression
WITHOUT_BUDGET = (FULL_CACHE, "head_aware")  # their number of entries does not follow from a budget
FULL = {"label": "Full cache", "method": FULL_CACHE, "options": {}}


def compression_cases(config: dict, budgets: list[int] | None = None) -> dict[str, dict]:
    """Return every case by its key; the first keeps the full cache.

    Args:
        config: the configuration of a run.
        budgets: entries per head, instead of those of the section ``compression``.

    Returns:
        key -> "label" and "series" (the method's key in the configuration, one line of a figure), "method" and
        "options" for :func:`dynatree.kvcompress.make_method`, "budget" in entries or None, and "rows_of": the series
        whose number of entries at the end of a text is the budget, or None.
    """
    settings = config["compression"]
    cases = {FULL_CACHE: compressed(FULL_CACHE, FULL)}
    for series, method in settings["methods"].items():
        if not takes_budget(method):
            cases[series] = compressed(series, method)
        else:
            for budget in budgets or settings["budgets"]:
                cases[f"{series}-{budget}"] = compressed(series, method, budget)
    return cases


def takes_budget(method: dict) -> bool:
    """Return True if the budgets of a grid apply to a method of the configuration."""
    return "rows_of" not in method and method["method"] not in WITHOUT_BUDGET


def compressed(series: str, method: dict, budget: int | None = None) -> dict:
    """Return the case, see :func:`compression_cases`, of one method of the configuration with one budget."""
    own = {} if budget is None else {"budget": budget}
    if "recent_share" in method:
        own["recent"] = int(method["recent_share"] * budget)
    return {
        "label": method["label"],
        "series": series,
        "method": method["method"],
        "options": method["options"] | own,
        "budget": budget,
        "rows_of": method.get("rows_of"),
    }


def compression_job(config: dict, dataset: str) -> dict:
    """Return the job of one data set: everything that its measurement depends on, without labels."""
    settings = config["compression"]
    return {
        "dataset": dataset,
        "model": _model(config),
        **{key: config[key] for key in ("device", "dtype", "backend")},
        **{key: config["protocol"][key] for key in ("repetitions", "warmup")},
        **{key: settings[key] for key in ("texts", "tokens", "chunk", "generation")},
        # the passkey test does not depend on the data set, so it runs once
        "passkey": settings["passkey"] if dataset == settings["datasets"][0] else None,
        "cases": unlabelled(compression_cases(config)),
        "generation_cases": unlabelled(compression_cases(config, [settings["generation"]["budget"]])),
        "passkey_cases": unlabelled(compression_cases(config, settings["passkey"]["budgets"])),
    }


def _model(config: dict) -> str:
    """Return the target's name as the published numbers use it."""
    target = config["models"]["target"]
    return target["source"].get("repository", target["name"]).rsplit("/", 1)[-1].lower()


def unlabelled(cases: dict[str, dict]) -> dict[str, dict]:
    """Return ``cases`` without their labels."""
    return {key: {name: value for name, value in case.items() if name != "label"} for key, case in cases.items()}


def compression_labels(config: dict) -> dict[str, dict[str, str]]:
    """Return the "cases" and "datasets" as readers see them: key -> label."""
    settings = config["compression"]
    budgets = {*settings["budgets"], *settings["passkey"]["budgets"], settings["generation"]["budget"]}
    return {
        "cases": {key: case["label"] for key, case in compression_cases(config, sorted(budgets)).items()},
        "datasets": {name: config["prompts"][name]["label"] for name in settings["datasets"]},
    }


def needs_heads(config: dict) -> bool:
    """Return True if a case needs the classification of heads."""
    return any(method["method"] == "head_aware" for method in config["compression"]["methods"].values())


def with_classification(job: dict, heads: Path | None) -> dict:
    """Return a job in which head-aware cases read the classification of heads from the file ``heads``."""
    kinds = [kind for kind in job if kind.endswith("cases")]
    return job | {kind: {key: _classified(case, heads) for key, case in job[kind].items()} for kind in kinds}


def _classified(case: dict, heads: Path | None) -> dict:
    if case["method"] != "head_aware":
        return case
    return case | {"options": case["options"] | {"classification": str(heads)}}
