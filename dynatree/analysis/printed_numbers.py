"""Ids of the numbers that the text of the paper prints, and the results that each comes from."""

import csv
import io
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from jinja2 import Environment
from jinja2.ext import Extension

PRINTED = re.compile(r"\\VAR\{(?!table\(|figure\()(.+?)\}")
BINDING = re.compile(r"(?:^%%|\\BLOCK\{)\s*(for|set)\s+(.+?)\s*(?:\bin\b|=)\s*([^}\n]+)", re.MULTILINE)
NAME = re.compile(r"(?<![\w.\"|])[a-z_]\w*")
NUMBER = re.compile(r"\d")
# Names that templates see, and the files below the folder of a run that hold their values.
SOURCES = {
    "arena": ("arena/replay.csv",),
    "bandwidth": ("latency.csv",),
    "bound": ("tables/oracle_bound.csv",),
    "comparisons": ("tables/comparisons.csv", "requests/main.csv"),
    "compression": ("summary/compression.csv",),
    "datasets": ("summary/main.csv",),
    "draft_cache": ("tables/draft_cache.csv",),
    "facts": ("summary/facts.json",),
    "gpu": ("../snapshots/gpu/rates.csv", "../snapshots/gpu/passes.csv"),
    "heads": ("heads.json",),
    "ledger": ("claims.csv",),
    "llama_cpp": ("requests/peers.csv",),
    "logged": ("../published",),  # a folder means all of its CSV files
    "measured_over_work": ("requests/main.csv",),
    "passkey": ("summary/passkey.csv",),
    "peers": ("tables/peers.csv",),
    "published": ("../published/main.csv",),
    "published_heads": ("../published/heads.csv",),
    "results": ("summary",),
    "shapes": ("shape_claims.csv",),
    "sweep_edge": ("tuned.json",),
    "tuned": ("tuned.json",),
}


@dataclass(frozen=True)
class Printed:
    """A value in the text of the paper.

    Attributes:
        id: "TEMPLATE.N" for the N-th value of a template, or "TEMPLATE.N.K" for the K-th time that a loop prints it.
        printed: the text in the LaTeX source.
        expression: the expression of the template.
        sources: files below the folder of the run that hold the values, separated by spaces; empty for a setting.
    """

    id: str
    printed: str
    expression: str
    sources: str


class PrintedNumbers(Extension):
    """Record what templates print, in ``printed``."""

    def __init__(self, environment: Environment):
        super().__init__(environment)
        environment.globals["printed"] = self._record
        self._places: dict[str, tuple[str, str]] = {}
        self._counts: dict[str, int] = {}
        self.printed: list[Printed] = []

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Give each printed expression an id."""
        template, count = str(name).partition(".")[0], 0
        roots = _roots(source)

        def identified(found: re.Match) -> str:
            nonlocal count
            count += 1
            key, expression = f"{template}.{count}", found[1]
            self._places[key] = expression, " ".join(_sources(expression, roots))
            return rf'\VAR{{printed("{key}", {expression})}}'

        return PRINTED.sub(identified, source)

    def _record(self, key: str, value: Any) -> Any:
        if NUMBER.search(str(value)):
            self._counts[key] = count = self._counts.get(key, 0) + 1
            self.printed.append(Printed(key if count == 1 else f"{key}.{count}", str(value), *self._places[key]))
        return value


def as_csv(printed: list[Printed]) -> str:
    """Return printed values as CSV, one row each."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(Printed)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(one) for one in printed)
    return stream.getvalue()


def _roots(source: str) -> dict[str, set[str]]:
    """Return the names that a template binds -> the expressions that they come from."""
    roots: dict[str, set[str]] = {}
    for _, targets, expression in BINDING.findall(source):
        for target in targets.split(","):
            roots.setdefault(target.strip().partition(".")[0], set()).add(expression)
    return roots


def _sources(expression: str, roots: dict[str, set[str]]) -> list[str]:
    """Return the files behind an expression, through the names that the template binds."""
    found: dict[str, None] = {}
    waiting, seen = [expression], set()
    while waiting:
        text = waiting.pop(0)
        experiments = set(re.findall(r"\bresults\.(\w+)", text)) - {"items"}
        found |= dict.fromkeys(f"summary/{experiment}.csv" for experiment in sorted(experiments))
        for name in NAME.findall(text if not experiments else text.replace("results.", ".")):
            found |= dict.fromkeys(SOURCES.get(name, ()))
            if name in roots and name not in seen:
                seen.add(name)
                waiting += sorted(roots[name])
    return list(found)
