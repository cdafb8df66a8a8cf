"""Speed-up of every lossless decoding method on the same models."""

import numpy as np
import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.statistics import compare, levelled
from dynatree.analysis.tables.booktabs import booktabs
from dynatree.analysis.tables.columns import SPEEDUP, WORK, Column, rounded
from dynatree.config.jobs import AGAIN, BASELINE, LLAMA_CPP

OURS = "cost_aware"
ALL = "all"
PLAIN = {"dynatree": BASELINE, "huggingface": "hf_generate", LLAMA_CPP: LLAMA_CPP}  # plain decoding of each engine
ENGINES = ("huggingface", LLAMA_CPP, "dynatree")  # in the order of the table, after the baseline
OTHERS = (
    Column("work_speedup", "Work", 2, "all"),
    Column("own", "Own plain", 2, "speed-up, all", bounded=True),
    Column("llama_cpp", "llama.cpp", 2, "plain, all", bounded=True),
    Column("over", "", 2, "relative, all", bounded=True),
    Column("tokens_per_round", "Tok.", 2, "/round"),
    Column("specbench_speedup", "Spec-Bench", 2, "speed-up, all"),
    Column("specbench_tokens", "Spec-Bench", 2, "tok./round"),
    Column("calibration_error", "Calibration", 3, "error"),
)
ONLY_DATA = (Column("overhead_share", "Other", 3, "share"),)
MEANS = ("tokens_per_round", "calibration_error", "overhead_share")


def table(requests: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate the speed-up of every method by number of new tokens and data set.

    Further columns, over all data sets: the speed-up over plain decoding of the same engine and over that of llama.cpp,
    the speed-up of ours over the method, and speed-up and tokens per round by the formulas of Spec-Bench.
    """
    frame = peers_frame(requests)
    datasets = list(dict.fromkeys(frame["dataset_label"]))
    ours = escape(frame.loc[frame["case"] == OURS, "label"].iloc[0])
    ran = LLAMA_CPP in set(frame["case"])
    header = ["Method", *map(escape, datasets), *(column.title or ours for column in OTHERS)]
    units = ["", *["speed-up"] * len(datasets), *(column.unit for column in OTHERS)]
    if not ran:
        units[1 + len(datasets) + 2] = "not run"
    groups = [(f"{size} new tokens", _lines(rows, datasets)) for size, rows in frame.groupby("new_tokens")]
    keys = ("new_tokens", "dataset_label", "case", "label", "pairs")
    return rounded(frame, keys, (SPEEDUP, *OTHERS, *ONLY_DATA)), booktabs(header, groups, units)


def peers_frame(requests: pd.DataFrame) -> pd.DataFrame:
    """Return one row per number of new tokens, data set (and all of them together) and case.

    "speedup" is relative to autoregressive decoding, "own" to plain decoding of the same engine, and "llama_cpp" to
    plain decoding of llama.cpp. "over" is our throughput relative to the case. These are geometric means of ratios
    paired by prompt, with intervals, and NaN for a method over itself or over one that did not run. Other quantities
    are means. "specbench_speedup" and "specbench_tokens" follow Spec-Bench: the ratio of the mean throughputs, and the
    tokens of all rounds over the number of rounds.
    """
    rows = []
    for size, group in requests.assign(size=pd.to_numeric(requests["group"])).groupby("size"):
        parts = [(name, rows["dataset_label"].iloc[0], rows) for name, rows in group.groupby("dataset", sort=False)]
        parts += [(ALL, "All", group)] if len(parts) > 1 else []
        for dataset, label, part in parts:
            names = {"new_tokens": size, "dataset": dataset, "dataset_label": label}
            level = levelled(part)
            rows += [names | _case(part, case) | _by_specbench(level, case) for case in _ordered(part)]
    return pd.DataFrame(rows)


def _ordered(requests: pd.DataFrame) -> list[str]:
    """Return the cases in order: the baseline, those of Hugging Face and of llama.cpp, ours; each from slow to fast."""
    shown = requests[requests["case"] != AGAIN]
    cases = shown.groupby(["case", "engine"])["throughput"].mean()
    order = sorted(cases.items(), key=lambda one: (one[0][0] != BASELINE, ENGINES.index(one[0][1]), one[1]))
    return [case for (case, _), _ in order]


def _case(requests: pd.DataFrame, case: str) -> dict:
    own = requests[requests["case"] == case]
    row = {"case": case, "label": own["label"].iloc[0]}
    plain, ran = PLAIN[own["engine"].iloc[0]], set(requests["case"])
    ratios = {"speedup": (case, BASELINE), "own": (case, plain), "llama_cpp": (case, LLAMA_CPP), "over": (OURS, case)}
    for name, (of, over) in ratios.items():
        found = compare(requests, of, over, "throughput") if of != over and over in ran else None
        bounds = (np.nan,) * 3 if found is None else (found.ratio, found.low, found.high)
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), bounds, strict=True))
    row[WORK.name] = 1.0 if case == BASELINE else compare(requests, case, BASELINE, "work_throughput").ratio
    row["pairs"] = own["prompt"].nunique()
    return row | {name: own[name].mean() for name in MEANS}


def _by_specbench(requests: pd.DataFrame, case: str) -> dict[str, float]:
    """Return speed-up and tokens per round as ``evaluation/speed.py`` of Spec-Bench computes them, with our counts."""
    own, plain = (requests[requests["case"] == name] for name in (case, BASELINE))
    known = own[own["rounds"] > 0]
    pooled = (known["new_tokens"] - 1).sum() / known["rounds"].sum() if len(known) else np.nan
    return {"specbench_speedup": own["throughput"].mean() / plain["throughput"].mean(), "specbench_tokens": pooled}


def _lines(rows: pd.DataFrame, datasets: list[str]) -> list[list[str]]:
    by_label = {label: part.set_index("case") for label, part in rows.groupby("dataset_label")}
    whole = by_label[datasets[-1]]
    return [
        [escape(row["label"])]
        + [SPEEDUP.cell(by_label[label].loc[case]) for label in datasets]
        + [column.cell(row) for column in OTHERS]
        for case, row in whole.iterrows()
    ]
