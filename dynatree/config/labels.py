"""Labels of the cases and data sets in result files."""

from dynatree.config.compression_grid import compression_labels
from dynatree.config.plan import Plan

COMPRESSION_RESULTS: tuple[str, ...] = ("compression", "cache_growth", "passkey")


def all_labels(plan: Plan) -> dict[str, dict[str, dict[str, str]]]:
    """Return the labels in every result file of a run.

    Returns:
        Name of the file without its suffix -> "cases" and "datasets" -> key -> label.
    """
    experiments: dict[str, dict[str, dict[str, str]]] = {name: plan.labels(name) for name in plan.config["experiments"]}
    return experiments | dict.fromkeys(COMPRESSION_RESULTS, compression_labels(plan.config))
