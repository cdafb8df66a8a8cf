"""Trees against tuned chains of the same free drafts, on recorded outputs."""

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.shapes import of_workload, shape_id, tuned, workloads
from dynatree.analysis.tables.booktabs import booktabs, number

SHAPES = ("chain", "tree")


def table(shapes: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate size, tokens per round and predicted speed-up of both shapes, their ratio and the verdict."""
    frame = shapes_frame(shapes, ledger)
    groups = [
        (str(label), [_line(row) for _, row in rows.iterrows()]) for label, rows in frame.groupby("sources", sort=False)
    ]
    header = ["Workload", "Chain", "", "", "Tree", "", "", "Tree over chain", "Verdict"]
    units = ["", *["size", "tok./round", "speed-up"] * 2, "", ""]
    return frame.round(4), booktabs(header, groups, units)


def shapes_frame(shapes: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """Return one row per source and workload."""
    verdicts = ledger.set_index("id")
    rows = []
    for source in dict.fromkeys(shapes["source"]):
        for workload in workloads(shapes):
            part = of_workload(shapes[shapes["source"] == source], workload)
            found = verdicts.loc[shape_id(source, workload)]
            row = {"source": source, "sources": found["sources"], "workload": found["workload"]}
            for shape in SHAPES:
                best = tuned(part[part["shape"] == shape])
                row[shape] = best["size"].iloc[0]
                row[f"{shape}_tokens_per_round"] = best["tokens"].sum() / best["rounds"].sum()
                row[f"{shape}_speedup"] = best["plain_seconds"].sum() / best["seconds"].sum()
            names = ("value", "low", "high", "n", "q", "verdict")
            rows.append(row | {name: found[name] for name in names})
    return pd.DataFrame(rows)


def _line(row: pd.Series) -> list[str]:
    cells = [escape(row["workload"])]
    for shape in SHAPES:
        cells += [str(row[shape]), number(row[f"{shape}_tokens_per_round"], 2), number(row[f"{shape}_speedup"], 2)]
    bounds = "" if pd.isna(row["low"]) else rf" {{\scriptsize [{number(row['low'], 2)}, {number(row['high'], 2)}]}}"
    return [*cells, number(row["value"], 2) + bounds, escape(row["verdict"])]
