"""The rules that rerun after each change of docs/staleness.md, in a copy of a finished tiny run."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import yaml

from dynatree.config.load import load_config
from tests.support.repository_copy import NEEDS_LATEX, PARTS, ROOT, Checkout

pytestmark = [NEEDS_LATEX, pytest.mark.xdist_group("finished run")]

ROW = re.compile(r"^\| (?!Change|---)(.+?) \| (.+?) \|$", re.MULTILINE)
RULE = re.compile(r"`(\w+)`(?: \(([^)]*)\))?")
TABLE = dict(ROW.findall((ROOT / "docs/staleness.md").read_text()))


@dataclass
class Job:
    """A job of a dry run: its rule, the value of its wildcard and its files."""

    rule: str
    wildcard: str = ""
    input: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.rule} {self.wildcard}".strip()


def jobs_of(shown: str) -> list[Job]:
    """Return the jobs that a dry run prints."""
    jobs: list[Job] = []
    for line in shown.splitlines():
        if match := re.fullmatch(r"(?:local)?rule (\w+):", line):
            jobs.append(Job(match[1]))
        elif jobs and (match := re.fullmatch(r" +(input|output): (.+)", line)):
            setattr(jobs[-1], match[1], match[2].split(", "))
        elif jobs and (match := re.fullmatch(r" +wildcards: \w+=(.+)", line)):
            jobs[-1].wildcard = match[1]
    return [job for job in jobs if job.rule != "all"]


def followers(first: set[str], jobs: list[Job]) -> set[str]:
    """Return the names of the first jobs and of all jobs that read an output of them, directly or not."""
    found: set[str] = set()
    waiting = [job for job in jobs if job.name in first]
    while waiting:
        job = waiting.pop()
        if job.name not in found:
            found.add(job.name)
            waiting += [other for other in jobs if set(job.output) & set(other.input)]
    return found


def edit(path: str, old: str, new: str, checkout: Checkout) -> None:
    text = (checkout / path).read_text()
    assert old in text
    (checkout / path).write_text(text.replace(old, new))


def add_code(path: str, checkout: Checkout) -> None:
    (checkout / path).write_text((checkout / path).read_text() + "\n\nADDED = 1\n")


def set_values(values: dict, checkout: Checkout) -> None:
    path = checkout / checkout.config
    config = load_config(path)
    for place, value in values.items():
        *parents, last = place.split(".")
        section = config
        for parent in parents:
            section = section[parent]
        assert section[last] != value
        section[last] = value
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def pin(library: str, checkout: Checkout) -> None:
    edit("envs/requirements.lock", f"\n{library}==", f"\n{library}==9.", checkout)


def change_nothing_that_counts(checkout: Checkout) -> None:
    for path in sources(checkout.folder):
        if path.suffix == ".py":
            text = path.read_text()
            text = text.replace('"""', '"""More about it: ', 1) if text.startswith('"""') else text
            path.write_text(f"# A remark.\n{text}\n\n# Another one.\n")
        os.utime(path)
    pin("ruff", checkout)
    set_values({"distillation.vocabulary": 65}, checkout)


def sources(folder: Path) -> list[Path]:
    """Return the files of a copy that belong to the repository."""
    found = [path for part in PARTS for path in [folder / part, *(folder / part).rglob("*")]]
    return [path for path in found if path.is_file() and not {"__pycache__", "ci"} & set(path.parts)]


LABELS = {
    "methods.dynatree_static.label": "Another method",
    "prompts.narrative.label": "Stories",
    "compression.methods.h2o.label": "Heavy hitters",
}
CHANGES: dict[str, Callable[[Checkout], None]] = {
    "Decoding: `dynatree/decoding/engine.py`": partial(add_code, "dynatree/decoding/engine.py"),
    "Statistics of a summary: `scripts/summarize.py`": partial(add_code, "scripts/summarize.py"),
    "One figure: `dynatree/analysis/figures/memory.py`": partial(add_code, "dynatree/analysis/figures/memory.py"),
    "Comments, docstrings, times of files, the versions of tools, settings of the distillation": (
        change_nothing_that_counts
    ),
    "Options of a method": partial(set_values, {"methods.dynatree_static.options.stop_probability": 0.2}),
    "Labels of a method, a data set and a compressed cache": partial(set_values, LABELS),
    "Label of a model": partial(set_values, {"models.draft.label": "another label"}),
    "Texts of a data set": lambda checkout: add_text(checkout),
    "Tokens of one experiment": partial(set_values, {"experiments.ablation.new_tokens": 10}),
    "Budgets of cache compression": partial(set_values, {"compression.budgets": [24, 32]}),
    "Threads": partial(set_values, {"threads": 2}),
    "Source of a model": partial(set_values, {"models.draft.source.noise": 0.06}),
    "Pinned version of torch": partial(pin, "torch"),
    "Pinned version of matplotlib": partial(pin, "matplotlib"),
    "A sentence of the paper": partial(edit, "paper/limits.tex.j2", "no evidence", "not evidence"),
    "The bibliography": partial(edit, "paper/references.bib", "year", "YEAR"),
    "A claim": partial(edit, "config/claims.yaml", "is faster than a single chain", "beats a chain"),
    "A published number": partial(
        edit, "results/published/main.csv", "PG-19,dynatree,speedup,", "PG-19,dynatree,speedup,9"
    ),
}


def add_text(checkout: Checkout) -> None:
    config = load_config(checkout / checkout.config)
    edit(config["prompts"]["narrative"]["source"]["path"], "the", "this", checkout)


@pytest.fixture(scope="module")
def original(finished, tmp_path_factory) -> Checkout:
    return finished.copy(tmp_path_factory.mktemp("original") / "copy")


@pytest.fixture(scope="module")
def every_job(original) -> list[Job]:
    return jobs_of(original.make("-n", "--forceall"))


@pytest.fixture
def copy(original, finished):
    """The finished run; its sources get their content and their times back after the test."""
    yield finished
    for path in sources(finished.folder):
        before = original.folder / path.relative_to(finished.folder)
        if path.stat().st_mtime_ns != before.stat().st_mtime_ns:
            shutil.copy2(before, path)


@pytest.mark.parametrize("change", TABLE)
def test_exactly_the_rules_of_the_table_and_their_followers_rerun(copy, every_job, change):
    CHANGES[change](copy)
    planned = {job.name for job in jobs_of(copy.make("-n"))}
    first = set()
    for rule, wildcards in RULE.findall(TABLE[change]):
        jobs = {job.name for job in every_job if job.rule == rule}
        if wildcards == "some":
            named = jobs & planned
        else:
            named = {f"{rule} {wildcard}" for wildcard in wildcards.split(", ")} if wildcards else jobs
        assert named and named <= jobs, f"{rule} has no such job"
        first |= named
    assert planned == followers(first, every_job)


def test_the_table_describes_every_change():
    assert list(TABLE) == list(CHANGES)
