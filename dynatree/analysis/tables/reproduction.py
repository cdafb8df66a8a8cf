"""Published numbers beside those of this run."""

import math

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.names import DATASETS
from dynatree.analysis.published import KEYS, METHODS, METRICS, Metric, applies, published_number
from dynatree.analysis.tables.booktabs import booktabs, number

COLUMNS = ["dataset", "dataset_label", "method", "label", "metric", "published", "ours", "ratio"]


def table(summary: pd.DataFrame, published: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate published number, ours and their ratio, for each data set, method and metric of the main comparison.

    Args:
        summary: of the main comparison.
        published: ``results/published/main.csv``.

    Returns:
        One row per comparison, and a booktabs tabular with a block of columns per data set.

    Raises:
        DynatreeError: a published number is missing.
    """
    known = published.set_index(KEYS)["value"].to_dict()
    measured = summary[summary["case"].isin(METHODS) & summary["stands_for"].isin(DATASETS)]
    rows = [
        _compare(row, metric, known)
        for metric in METRICS
        for _, row in measured.iterrows()
        if applies(row["case"], metric)
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame, _latex(frame)


def _compare(row: pd.Series, metric: Metric, known: dict) -> dict:
    theirs, ours = published_number(row["stands_for"], row["case"], metric, known), metric.scale * row[metric.ours]
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
