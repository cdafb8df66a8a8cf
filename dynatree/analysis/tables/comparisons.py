"""DynaTree compared with every other method on the same prompts."""

import pandas as pd

from dynatree.analysis.inference import holm
from dynatree.analysis.latex import escape
from dynatree.analysis.statistics import Comparison, compare
from dynatree.analysis.tables.columns import Column, case_table, rounded
from dynatree.config.jobs import AGAIN
from dynatree.errors import DynatreeError

CASE = "dynatree"
COLUMNS = (
    Column("throughput", "Tokens/s ratio", 2, bounded=True),
    Column("work", "Work ratio", 2),
    Column("p", "$p$", None),
    Column("effect", "$d_z$", 2),
    Column("tokens_per_round", "Tok./round ratio", 2, bounded=True),
    Column("pairs", "Pairs", 0),
)


def table(requests: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate paired ratios of DynaTree to every other case, with Holm-corrected p-values per data set.

    Raises:
        DynatreeError: a data set has no requests of DynaTree.
    """
    frame = comparisons_frame(requests)
    label = requests.loc[requests["case"] == CASE, "label"].iloc[0]
    latex = case_table(frame, COLUMNS, title=f"{escape(label)} over")
    return rounded(frame, ("dataset_label", "case", "label"), COLUMNS), latex


def comparisons_frame(requests: pd.DataFrame) -> pd.DataFrame:
    """Return one row per data set and other case, with the columns of the table.

    Raises:
        DynatreeError: a data set has no requests of DynaTree.
    """
    frames = [_dataset(rows) for _, rows in requests.groupby("dataset", sort=False)]
    return pd.concat(frames, ignore_index=True)


def _dataset(requests: pd.DataFrame) -> pd.DataFrame:
    cases = requests[requests["case"] != AGAIN].drop_duplicates("case")
    if CASE not in set(cases["case"]):
        dataset = requests["dataset"].iloc[0]
        raise DynatreeError(f"data set {dataset!r} has no requests of the case {CASE!r}; add it to the main comparison")
    rows = []
    for _, other in cases[cases["case"] != CASE].iterrows():
        speed = compare(requests, CASE, other["case"], "throughput")
        rounds = compare(requests, CASE, other["case"], "tokens_per_round")
        row = {name: other[name] for name in ("dataset", "dataset_label", "case", "label")}
        work = compare(requests, CASE, other["case"], "work_throughput").ratio
        row |= {"work": work, "p": speed.p, "effect": speed.effect, "pairs": speed.n}
        rows.append(row | _bounds("throughput", speed) | _bounds("tokens_per_round", rounds))
    frame = pd.DataFrame(rows)
    return frame.assign(p=holm(frame["p"].to_list()))


def _bounds(name: str, found: Comparison) -> dict[str, float]:
    return {name: found.ratio, f"{name}_low": found.low, f"{name}_high": found.high}
