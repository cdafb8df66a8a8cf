"""Selection and pairing of the requests of a claim."""

import numpy as np
import pandas as pd

from dynatree.analysis.statistics import levelled
from dynatree.config.jobs import BASELINE


class NotMeasured(Exception):
    """The run lacks the subject of a claim; the message says what is missing, as a sentence."""


def select(frame: pd.DataFrame, choice: str | dict) -> pd.DataFrame:
    """Return the rows that match a choice.

    Args:
        frame: requests or a summary.
        choice: the key of a case, or column -> a value, a list of values, {"above": x}, {"below": x}, "largest" or
            "smallest".

    Raises:
        NotMeasured: no row matches.
    """
    found = frame
    for column, wanted in _columns(choice).items():
        if column not in frame:
            raise NotMeasured(f"The run has no column {column} for this experiment.")
        found = found[_fits(found[column], wanted)]
        if found.empty:
            raise NotMeasured(f"The run has not measured {describe(choice)}.")
    return found


def _columns(choice: str | dict) -> dict:
    return {"case": choice} if isinstance(choice, str) else choice


def _fits(column: pd.Series, wanted) -> pd.Series:
    if isinstance(wanted, dict):
        numbers = pd.to_numeric(column, errors="coerce")
        ((side, limit),) = wanted.items()
        return numbers > limit if side == "above" else numbers < limit
    if wanted in ("largest", "smallest"):
        numbers = pd.to_numeric(column, errors="coerce")
        return numbers == (numbers.max() if wanted == "largest" else numbers.min())
    if isinstance(wanted, list):
        return column.isin(wanted)
    if isinstance(wanted, int | float):
        return pd.Series(np.isclose(pd.to_numeric(column, errors="coerce"), wanted), index=column.index)
    return column == wanted


def describe(choice: str | dict) -> str:
    """Return a choice in words."""
    parts = []
    for column, wanted in _columns(choice).items():
        if isinstance(wanted, dict):
            wanted = " ".join(map(str, next(iter(wanted.items()))))
        elif isinstance(wanted, list):
            wanted = " or ".join(map(str, wanted))
        parts.append(str(wanted) if column == "case" else f"{column} {wanted}")
    return ", ".join(parts)


RATES = {"throughput": "speedup", "work_throughput": "work_speedup"}


def with_speedup(requests: pd.DataFrame) -> pd.DataFrame:
    """Return ``requests`` with ``speedup``: the throughput ratio to the baseline on the same job, group and prompt.

    ``work_speedup`` is the same by work.
    """
    requests = levelled(requests)
    keys = ["job", "group", "prompt", "sitting"]
    baseline = requests[requests["case"] == BASELINE].groupby(keys)[list(RATES)].median().add_prefix("_")
    joined = requests.join(baseline, on=keys)
    return joined.assign(**{name: joined[quantity] / joined[f"_{quantity}"] for quantity, name in RATES.items()}).drop(
        columns=[f"_{quantity}" for quantity in RATES]
    )


def per_prompt(rows: pd.DataFrame, quantity: str, keys: list[str]) -> pd.Series:
    """Return ``quantity`` by ``keys`` in a fixed order; repetitions count once, by their median.

    Raises:
        NotMeasured: no row has the quantity.
    """
    values = rows.groupby(keys)[quantity].median().dropna().sort_index()
    if values.empty:
        raise NotMeasured(f"The run has no {quantity} for {', '.join(sorted(set(rows['case'])))}.")
    return values


def paired(of: pd.DataFrame, over: pd.DataFrame, quantity: str, keys: list[str]) -> pd.DataFrame:
    """Return the columns "of" and "over", one row for each prompt that both have, in a fixed order.

    Raises:
        NotMeasured: nothing can be paired, or both are the same requests.
    """
    if of.index.equals(over.index):
        raise NotMeasured(f"The run has measured only one of the two: {', '.join(sorted(set(of['case'])))}.")
    sides = {"of": per_prompt(of, quantity, keys), "over": per_prompt(over, quantity, keys)}
    both = pd.concat(sides, axis=1, join="inner").sort_index()
    if both.empty:
        raise NotMeasured("The run has measured no prompt with both.")
    return both
