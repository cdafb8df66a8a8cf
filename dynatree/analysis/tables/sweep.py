"""Sweep over the settings of fixed trees and chains."""

import pandas as pd

from dynatree.analysis.inference import geometric_mean
from dynatree.analysis.latex import escape
from dynatree.analysis.names import FACTORS
from dynatree.analysis.tables.booktabs import booktabs, cell
from dynatree.analysis.tables.columns import SPEEDUP, WORK, Column, rounded
from dynatree.config.jobs import BASELINE

AVERAGED = (
    Column("tokens_per_round", "Tokens", 2, "/round"),
    Column("verified_per_token", "Nodes", 2, "/token"),
    Column("acceptance_rate", "Acc.", 2),
    Column("draft_precision", "Prec.", 2),
)


def table(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate the fastest threshold per depth and branch, and the chains; the fastest of each kind is bold.

    Speed-ups are shown per data set and as their geometric mean, other quantities as means over the data sets. The data
    contain every threshold.
    """
    settings = pooled(summary)
    trees = fastest(settings[settings["method"] == "fixed_tree"], ["depth", "branch"])
    chains = settings[settings["method"] == "chain"].sort_values("depth")
    datasets = dict(summary[["dataset", "dataset_label"]].itertuples(index=False, name=None))
    names = list(datasets.values()) + (["Both" if len(datasets) == 2 else "All"] if len(datasets) > 1 else [])
    header = ["Depth", "Branch", "Threshold", *map(escape, names), "Work", *(column.title for column in AVERAGED)]
    units = ["", "", "", *["speed-up"] * (len(names) + 1), *(column.unit for column in AVERAGED)]
    groups = [
        (title, _lines(rows, summary, list(datasets)))
        for title, rows in (("Trees at their fastest threshold", trees), ("Chains", chains))
        if len(rows)
    ]
    keys = ("dataset_label", "case", "label", *FACTORS["sweep"], "prompts", "new_tokens")
    frame = summary.astype({"depth": "Int64", "branch": "Int64"})
    return rounded(frame, keys, (SPEEDUP, WORK, *AVERAGED)), booktabs(header, groups, units)


def pooled(summary: pd.DataFrame) -> pd.DataFrame:
    """Return one row per drafting case: the geometric mean of its speed-ups and means of other quantities."""
    cases = summary[summary["case"] != BASELINE].groupby("case", sort=False)
    frame = cases[["label", "method", *FACTORS["sweep"]]].first().astype({"depth": int, "branch": int})
    means = cases[["speedup", "work_speedup"]].agg(lambda values: geometric_mean(values.to_numpy()))
    return frame.join(cases[[column.name for column in AVERAGED]].mean()).join(means)


def fastest(settings: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the setting with the highest speed-up by work among those that agree in ``by``."""
    return settings.loc[settings.groupby(by)["work_speedup"].idxmax()]


def _lines(settings: pd.DataFrame, summary: pd.DataFrame, datasets: list[str]) -> list[list[str]]:
    """Return one line per setting."""
    speedups = {dataset: summary[summary["dataset"] == dataset].set_index("case") for dataset in datasets}
    first = ~settings["depth"].duplicated()
    lines = []
    for case, row in settings.iterrows():
        line = [str(row["depth"]) if first[case] else "", str(row["branch"]), f"{row['threshold']:g}"]
        if row["method"] == "chain":
            line[1:] = ["--", "--"]
        line += [SPEEDUP.cell(rows.loc[case]) for rows in speedups.values()]
        line += [cell(row, "speedup", 2)] if len(datasets) > 1 else []
        line += [cell(row, "work_speedup", 2)]
        line += [column.cell(row) for column in AVERAGED]
        best = case == settings["work_speedup"].idxmax()
        lines.append([rf"\textbf{{{text}}}" if best and text else text for text in line])
    return lines
