"""The results behind a number in the text of the paper."""

import csv
import re
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.provenance.lineage import trace
from dynatree.provenance.notes import note_path
from dynatree.provenance.number_search import occurrences


def trace_printed(run: str, key: str) -> list[str]:
    """Return lines with a number of the paper, the expression that prints it, and the lineage of its value.

    Args:
        run: name of a finished run, such as "demo".
        key: id of the number in ``paper/RUN/numbers.csv``, such as "abstract.6".

    Raises:
        DynatreeError: the run has no paper, or its text has no number of this id.
    """
    path = Path("paper") / run / "numbers.csv"
    if not path.exists():
        raise DynatreeError(f"{path} is missing; name a run with a finished paper by --run")
    with path.open(newline="") as stream:
        numbers = {row["id"]: row for row in csv.DictReader(stream)}
    if key not in numbers:
        raise DynatreeError(f"the paper prints no number {key!r}; {path} lists them, such as {next(iter(numbers))}")
    number = numbers[key]
    lines = [f"{key}: {number['printed']}, printed by {number['expression']} in paper/{key.partition('.')[0]}.tex.j2"]
    found = re.search(r"\d+(\.\d+)?", number["printed"])
    value = found[0] if found else ""
    sources = _files(Path("results") / run, number["sources"].split())
    printing = [source for source in sources if occurrences(source, value)]
    if not sources:
        return [*lines, "  a setting or a constant"]
    for source in printing or sources:
        if note_path(source).exists():
            lines += trace(source, value if printing else None)
        else:
            lines.append(f"{source}: a source")
    return lines


def _files(folder: Path, names: list[str]) -> list[Path]:
    """Return files below the folder of a run; a folder stands for its CSV files."""
    paths = [folder.parent / name[3:] if name.startswith("../") else folder / name for name in names]
    return [file for path in paths for file in (sorted(path.glob("*.csv")) if path.is_dir() else [path])]
