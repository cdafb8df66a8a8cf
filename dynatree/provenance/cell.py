"""The requests behind a cell of a table."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from dynatree.analysis.catalogue import TABLES
from dynatree.config.jobs import BASELINE
from dynatree.errors import DynatreeError

TIMES = ("throughput", "ttft_ms", "tpot_ms", "tokens_per_round", "pass_ms", "work_throughput")
NAMES = ("dataset", "dataset_label", "group", "dtype", "limit", "new_tokens")  # columns that a cell may be chosen by


def trace_cell(folder: Path, table: str, row: str, column: str | None = None) -> list[str]:
    """Return lines with the values of a row of a table, and one line for each request behind them.

    Args:
        folder: results of a run, such as ``results/demo``.
        table: name of a table, such as "peers".
        row: key or label of a case.
        column: key or label of a data set, a group, a format or a limit that narrows the row; None for all.

    Raises:
        DynatreeError: the table, the row or the column does not exist, or the table has no requests.
    """
    if table not in TABLES:
        raise DynatreeError(f"there is no table {table!r}; choose one of {', '.join(TABLES)}")
    shown = _chosen(_read(folder / f"tables/{table}.csv"), row, None)
    experiment = next(
        (Path(name).stem for name in TABLES[table].inputs if name.startswith(("requests", "summary"))), ""
    )
    requests = _read(folder / f"requests/{experiment}.csv")
    own = _chosen(requests, row if row in set(requests["case"]) else str(shown["case"].iloc[0]), column)
    labels = set(own["dataset"].str.lower())
    kept = shown[shown.apply(lambda line: _fits(line, column, labels), axis=1)]
    lines = [f"{folder}/tables/{table}.csv: {_values(line)}" for _, line in (kept if len(kept) else shown).iterrows()]
    return [*lines, *_requests(folder, requests, own)]


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise DynatreeError(f"{path} is missing; name a finished run with --run, or another table")
    return pd.read_csv(path, dtype={"group": str})


def _chosen(frame: pd.DataFrame, row: str, column: str | None) -> pd.DataFrame:
    if "case" not in frame:
        raise DynatreeError("this table has no rows of requests; trace the file instead")
    found = frame[(frame["case"] == row) | (frame.get("label", frame["case"]) == row)]
    if found.empty:
        raise DynatreeError(f"no row {row!r}; there are {', '.join(frame['case'].unique())}")
    if column is None:
        return found
    names = [name for name in NAMES if name in found]
    narrowed = found[(found[names].astype(str).apply(lambda values: values.str.lower()) == column.lower()).any(axis=1)]
    if narrowed.empty:
        known = sorted({str(value) for name in names for value in found[name].unique()})
        raise DynatreeError(f"no column {column!r} for {row!r}; there are {', '.join(known)}")
    return narrowed


def _fits(line: pd.Series, column: str | None, datasets: set[str]) -> bool:
    values = {str(value).lower() for value in line}
    return column is None or column.lower() in values or bool(datasets & values)


def _values(line: pd.Series) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in line.items()
    )


def _requests(folder: Path, requests: pd.DataFrame, own: pd.DataFrame) -> Iterator[str]:
    """Yield a line per request of the row, each followed by its baseline."""
    keys = ["job", "group", "prompt", "repetition"]
    baselines = requests[requests["case"] == BASELINE]
    for _, one in own.iterrows():
        yield f"  {folder}/records/{one['job']}.json: {_request(one)}"
        same = (baselines[keys] == one[keys]).all(axis=1) & (baselines["session"] == one["baseline"])
        if one["case"] != BASELINE:
            yield from (f"    over {_request(other)}" for _, other in baselines[same].iterrows())


def _request(one: pd.Series) -> str:
    numbers = [f"{name} {one[name]:.6g}" for name in TIMES if name in one and not pd.isna(one[name])]
    names = f"{one['case']}, group {one['group']}, prompt {one['prompt']}, repetition {one['repetition']}"
    return f"{names}, session {one['session']}: {', '.join(numbers)}"
