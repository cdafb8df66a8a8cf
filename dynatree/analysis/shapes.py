"""Verdicts on trees against tuned chains of the same drafts, by source and workload, from recorded outputs.

Both shapes have the size of least predicted time on the workload, so both are tuned in hindsight. Seconds are those of
forward passes, so the comparison does not depend on what else a machine does.
"""

import math

import pandas as pd

from dynatree.analysis.claims import COLUMNS, NUMBERS, verdict_of
from dynatree.analysis.findings import Finding
from dynatree.analysis.inference import MIN_TEST, benjamini_hochberg, equivalent, estimate, geometric_mean, sign_flip
from dynatree.analysis.published import FOREIGN, Margins

ALL = "all"
LABELS = {"ngram": "n-grams", "recycling": "recycling", "table": "the n-gram table", "free": "all free sources"}
WHERE = "not in the paper; recorded outputs, by the latency of forward passes"
RUN = {"published": False}  # no run has the published texts and models of a claim that the paper does not make
UP = {"predicate": {"kind": "ratio", "above": 1}}


def workloads(shapes: pd.DataFrame) -> list[str]:
    """Return the data sets of replays by shape, and "all" if there are several."""
    names = list(dict.fromkeys(shapes["dataset"]))
    return [*names, ALL] if len(names) > 1 else names


def of_workload(shapes: pd.DataFrame, workload: str) -> pd.DataFrame:
    """Return the replays of a workload."""
    return shapes if workload == ALL else shapes[shapes["dataset"] == workload]


def tuned(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the replays of the size with the least predicted time, of one source and shape on a workload."""
    return rows[rows["size"] == rows.groupby("size")["seconds"].sum().idxmin()]


def shape_ledger(shapes: pd.DataFrame, labels: dict[str, str], margins: Margins) -> pd.DataFrame:
    """Return the verdict for each source and workload, as rows of the ledger of claims.

    The false-discovery rate is controlled over these rows, apart from the claims of the paper.

    The columns "sources" and "workload" hold labels.

    Args:
        shapes: output of ``scripts/replay_outputs.py``.
        labels: labels of the data sets.
        margins: margin of times, and false-discovery rate.
    """
    pairs = [(source, workload) for source in dict.fromkeys(shapes["source"]) for workload in workloads(shapes)]
    findings = [_find(of_workload(shapes[shapes["source"] == one], workload), margins) for one, workload in pairs]
    family = benjamini_hochberg([found.p for found in findings])
    rows = []
    for (source, workload), found, q in zip(pairs, findings, family, strict=True):
        decision, reason = verdict_of(UP, found, found.p if math.isnan(q) else q, RUN, margins)
        label = "All" if workload == ALL else labels[workload]
        where = "over all data sets" if workload == ALL else f"on {label}"
        row = {"id": shape_id(source, workload), "source": WHERE, "standing": FOREIGN, "what": ""}
        row |= {"text": f"A tree of {LABELS[source]} is faster than the tuned chain of the same drafts {where}."}
        row |= dict.fromkeys(("published", *NUMBERS), math.nan)
        row |= {name: getattr(found, name) for name in ("value", "low", "high", "n", "p", "margin")}
        rows.append(row | {"q": q, "verdict": decision, "reason": reason, "sources": LABELS[source], "workload": label})
    return pd.DataFrame(rows, columns=[*COLUMNS, "sources", "workload"])


def shape_id(source: str, workload: str) -> str:
    """Return the id of a verdict in the ledger."""
    return f"tree-over-chain-{source}-{workload}"


def _find(rows: pd.DataFrame, margins: Margins) -> Finding:
    """Return the ratio of the predicted speeds of the best tree and the best chain, paired by output."""
    keys = ["dataset", "article", "output"]
    tree, chain = (tuned(rows[rows["shape"] == shape]).set_index(keys)["seconds"] for shape in ("tree", "chain"))
    ratios = (chain / tree).groupby(level=["dataset", "article"]).apply(geometric_mean)
    ratios.index = pd.Index(["/".join(key) for key in ratios.index], name="article")
    found = estimate(ratios, geometric_mean)
    p = sign_flip(found.values) if found.n >= MIN_TEST else math.nan
    near = equivalent(found, True, 1.0, margins.times)
    side = 1 if found.value > 1 else -1
    made = "the ratio of predicted speeds of the best tree and the best chain"
    return Finding(found.value, found.low, found.high, found.n, p, side, near, margins.times, what=made)
