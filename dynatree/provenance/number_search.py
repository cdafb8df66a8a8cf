"""Search for a printed number in a file of results, and for the raw records behind a row of results."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dynatree.errors import DynatreeError

SEARCHED = (".csv", ".tex", ".j2", ".yaml")
NAMES = (
    "id",
    "dataset",
    "dataset_label",
    "group",
    "case",
    "method",
    "metric",
    "prompt",
)  # these columns identify a row
WIDTH = 110  # characters of a line that are shown


@dataclass
class Occurrence:
    """A place where the number occurs: its line, and its row in a CSV."""

    text: str
    row: dict[str, str] = field(default_factory=dict)


def occurrences(path: Path, value: str) -> list[Occurrence]:
    """Return the places of a number in a CSV, LaTeX source, template or YAML file, and none in other files.

    Args:
        path: The file.
        value: The number as it is printed. In a CSV, a number that rounds to it counts too.

    Raises:
        DynatreeError: ``value`` is no number.
    """
    if not re.fullmatch(r"-?\d+(\.\d+)?", value):
        raise DynatreeError(f"{value!r} is no number; give one as the paper prints it, such as 1.20")
    if path.suffix not in SEARCHED:
        return []
    return list(_rows(path, value) if path.suffix == ".csv" else _lines(path, value))


def _lines(path: Path, value: str) -> Iterator[Occurrence]:
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if _printed(line, value):
            yield Occurrence(f"line {number}: {line.strip()[:WIDTH]}")


def _rows(path: Path, value: str) -> Iterator[Occurrence]:
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            columns = [
                name
                for name, cell in row.items()
                if cell and name not in NAMES and (_rounds(cell, value) or _printed(cell, value))
            ]
            if columns:
                found = ", ".join(f"{name}={row[name][:WIDTH]}" for name in columns)
                yield Occurrence(f"{_about(row)}: {found}", row)


def _about(row: dict[str, str]) -> str:
    return " ".join(f"{name}={row[name]}" for name in NAMES if row.get(name)) or "row"


def _printed(text: str, value: str) -> bool:
    """Return True if a text holds the number, not as a part of a longer one. LaTeX prints a minus as $-$."""
    return bool(re.search(rf"(?<![\d.]){re.escape(value)}(?!\d|\.\d)", text.replace("$-$", "-")))


def _rounds(cell: str, value: str) -> bool:
    try:
        number = float(cell)
    except ValueError:
        return False
    decimals = len(value.partition(".")[2])
    return abs(number - float(value)) <= 0.5 * 10**-decimals * (1 + 1e-9)


def read_sessions(path: Path) -> tuple[dict[str, dict], list[dict]] | None:
    """Return the sessions and records of a file of raw records, or None for any other file."""
    if path.suffix != ".json":
        return None
    try:
        content = json.loads(path.read_text())
    except ValueError:
        return None
    is_measurement = isinstance(content, dict) and {"job", "sessions", "records"} <= set(content)
    return (content["sessions"], content["records"]) if is_measurement else None


def requests_behind(row: dict[str, str], path: Path) -> dict[str, list[str]]:
    """Return the raw records from which a row of a summary or of requests is computed.

    Args:
        row: A row with "group" and "case", and with "prompt" if it describes a single request.
        path: The raw records of the job of the row.

    Returns:
        Session -> ids of the prompts.
    """
    _, records = read_sessions(path) or ({}, [])
    found: dict[str, list[str]] = {}
    for record in records:
        if all(str(record[name]) == row[name] for name in ("group", "case", "prompt") if row.get(name)):
            prompts = found.setdefault(record["session"], [])
            if record["prompt"] not in prompts:
                prompts.append(record["prompt"])
    return found
