"""Our numbers beside the published ones."""

import math
from typing import NamedTuple

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.tables.booktabs import booktabs, number
from dynatree.analysis.vocabulary import DATASETS
from dynatree.errors import DynatreeError

METHODS = ("autoregressive", "linear", "fixed_tree", "dynatree")
KEYS = ["dataset", "method", "metric"]


class Metric(NamedTuple):
    """A quantity of our summary and what it is called in ``results/published/main.csv``."""

    ours: str
    published: str
    title: str
    decimals: int
    scale: float = 1


METRICS = (
    Metric("throughput", "throughput", "Tokens/s", 1),
    Metric("speedup", "speedup", "Speed-up", 2),
    Metric("tokens_per_round", "tokens_per_iteration_Lbar", "Tokens per round", 2),
    Metric("rounds", "num_iterations", "Rounds per request", 0),
    Metric("published_acceptance", "acceptance_rate", r"Acceptance by the published formula, \%", 1, scale=100),
    Metric("ttft_ms", "ttft_ms", "TTFT, ms", 1),
    Metric("tpot_ms", "tpot_ms", "TPOT, ms", 2),
)


def reproduction_table(summary: pd.DataFrame, published: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Published number, ours and their ratio, for each set of prompts, method and metric of the main comparison.

    Args:
        summary: of the main comparison.
        published: ``results/published/main.csv``.

    Returns:
        One row per comparison, and a booktabs tabular with a block of columns per set of prompts.

    Raises:
        DynatreeError: a published number is missing.
    """
    known = published.set_index(KEYS)["value"]
    measured = summary[summary["case"].isin(METHODS)]
    rows = [
        _compare(row, metric, known)
        for metric in METRICS
        for _, row in measured.iterrows()
        if _applies(row["case"], metric)
    ]
    frame = pd.DataFrame(rows)
    return frame, _latex(frame)


def check_published(published: pd.DataFrame) -> None:
    """Raise a DynatreeError that names the first number that the reproduction needs and that is missing."""
    known = published.set_index(KEYS)["value"]
    for dataset in DATASETS:
        for case in METHODS:
            for metric in METRICS:
                if _applies(case, metric):
                    _published(dataset, case, metric, known)


def _applies(case: str, metric: Metric) -> bool:
    return metric.ours != "published_acceptance" or case != "autoregressive"


def _published(dataset: str, case: str, metric: Metric, known: pd.Series) -> float:
    key = (dataset, case, metric.published)
    if key not in known.index or math.isnan(known[key]):
        raise DynatreeError(
            f"the published {metric.published} of {case} on {dataset} is missing; add it to results/published/main.csv"
        )
    return float(known[key])


def _compare(row: pd.Series, metric: Metric, known: pd.Series) -> dict:
    theirs, ours = _published(row["stands_for"], row["case"], metric, known), metric.scale * row[metric.ours]
    return {
        "dataset": row["stands_for"],
        "dataset_label": row["dataset_label"],
        "method": row["case"],
        "label": row["label"],
        "metric": metric.ours,
        "published": theirs,
        "ours": ours,
        "ratio": ours / theirs,
    }


def _latex(frame: pd.DataFrame) -> str:
    sets = list(frame[["dataset", "dataset_label"]].drop_duplicates().itertuples(index=False, name=None))
    header, units = [""], [""]
    for dataset, label in sets:
        header += [escape(dataset), escape(label), ""]
        units += ["published", "this run", "ratio"]
    groups = []
    for metric in METRICS:
        rows = frame[frame["metric"] == metric.ours]
        lines = [
            _line(rows[rows["method"] == method], sets, metric) for method in METHODS if method in set(rows["method"])
        ]
        groups.append((metric.title, lines))
    return booktabs(header, groups, units)


def _line(rows: pd.DataFrame, sets: list[tuple[str, str]], metric: Metric) -> list[str]:
    cells = [escape(rows["label"].iloc[0])]
    for _, label in sets:
        found = rows[rows["dataset_label"] == label]
        for name, decimals in (("published", metric.decimals), ("ours", metric.decimals), ("ratio", 2)):
            cells.append(number(found[name].iloc[0] if len(found) else math.nan, decimals))
    return cells
