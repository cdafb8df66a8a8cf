"""Requests behind the verdict on a claim."""

from pathlib import Path

import pandas as pd

from dynatree.analysis.published import load_claims
from dynatree.analysis.selection import NotMeasured, select

SIDES = ("of", "over", "among")


def requests_of_claim(name: str, claims: Path, requests: list[Path]) -> dict[Path, list[dict[str, str]]]:
    """Return the jobs, groups and cases that a claim compares, by file of requests.

    Args:
        name: id of the claim.
        claims: YAML file of the claims.
        requests: CSV files, each named after its experiment.

    Returns:
        File -> "job", "group" and "case" of the compared requests. Empty for a claim about memory, which is not
        measured per request.
    """
    predicate = next((claim["predicate"] for claim in load_claims(claims) if claim["id"] == name), {})
    wanted = predicate.get("experiment")
    compared = {path: _compared(predicate, path) for path in requests if wanted in ("all", path.stem)}
    return {path: rows for path, rows in compared.items() if rows}


def _compared(predicate: dict, path: Path) -> list[dict[str, str]]:
    frame = pd.read_csv(path, dtype={"group": str})
    if "dataset" in predicate:
        frame = frame[frame["stands_for"] == predicate["dataset"]]
    try:
        parts = [select(frame, predicate[side]) for side in SIDES if side in predicate]
    except NotMeasured:
        return []
    return pd.concat(parts)[["job", "group", "case"]].drop_duplicates().to_dict("records") if parts else []
