"""What reruns after each change of staleness.yaml, in copies of a finished tiny run."""

import ast
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import pytest
import yaml

from dynatree.provenance.fingerprint import code_hash
from dynatree.workflow.staleness import load, markdown, reruns
from tests.support.repository_copy import NEEDS_LATEX, PARTS, ROOT, snakemake

CONTENT = load(ROOT)
CODE, OTHER, SETS = CONTENT["code"], CONTENT["other"], CONTENT["sets"]
SCRIPTS = {"measure": "benchmark"} | {
    rule: rule for rule in CONTENT["rules"] if rule not in ("measure", "table", "figure")
}
JOBS = {rule: f"scripts/{script}.py" for rule, script in SCRIPTS.items()} | {
    f"{kind} {path.stem}": f"scripts/{kind}s/{path.name}"
    for kind in ("table", "figure")
    for path in sorted((ROOT / "scripts" / f"{kind}s").glob("*.py"))
}
CONFIG = "config/ci.yaml"
WORKERS = 2


def modules(scenario: dict) -> list[Path]:
    return [path.relative_to(ROOT) for pattern in scenario["files"] for path in sorted(ROOT.glob(pattern))]


def named(jobs: list[str], module: Path) -> set[str]:
    return {job.format(name=module.stem) for job in jobs}


def edit(path: Path) -> None:
    """Change what the first function of a module does, or add one."""
    lines = path.read_text().splitlines()
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    functions = [node for node in functions if node.body[0].lineno > node.lineno]
    if functions:
        first = functions[0].body[-1]
        lines.insert(first.lineno - 1, " " * first.col_offset + "assert True")
    else:
        lines += ["", "", "def added():", "    return 1"]
    path.write_text("\n".join(lines) + "\n")


def annotate(path: Path) -> None:
    path.write_text(f"# A remark.\n{path.read_text()}\n\n# Another one.\n")


def touch(path: Path) -> None:
    os.utime(path)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def set_values(path: Path, values: dict) -> None:
    config = yaml.safe_load(path.read_text())
    for place, value in values.items():
        *parents, last = place.split(".")
        inner = config
        for parent in parents:
            inner = inner[parent]
        assert inner[last] != value
        inner[last] = value
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def checkout(folder: Path) -> list[Path]:
    """The files of a copy that the repository holds, not those that the run made."""
    found = [
        path for part in PARTS for path in ((folder / part).rglob("*") if (folder / part).is_dir() else [folder / part])
    ]
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts and "ci" not in path.parts]


def change(folder: Path, scenario: dict) -> None:
    if "files" in scenario:
        edit(folder / modules(scenario)[0])
    if "set" in scenario:
        set_values(folder / CONFIG, scenario["set"])
    if "replace" in scenario:
        replace(folder / scenario["replace"]["path"], scenario["replace"]["old"], scenario["replace"]["new"])
    if "everywhere" in scenario:
        for path in checkout(folder):
            if scenario["everywhere"] == "touch":
                touch(path)
            elif path.suffix == ".py":
                annotate(path)


def undone(folder: Path, original: Path) -> None:
    """Give the files of a copy the content and the times of the original."""
    for path in checkout(folder):
        before = original / path.relative_to(folder)
        if path.stat().st_mtime_ns != before.stat().st_mtime_ns:
            shutil.copy2(before, path)


def planned(folder: Path) -> dict[str, set[str]]:
    """The jobs of a dry run: rule -> the values of their wildcard."""
    done = snakemake(folder, "-n")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, set[str]] = {}
    rule = ""
    for line in (done.stdout + done.stderr).splitlines():
        if match := re.fullmatch(r"(?:local)?rule (\w+):", line):
            rule = match[1]
            found.setdefault(rule, set())
        elif match := re.fullmatch(r" +wildcards: \w+=(.+)", line):
            found[rule].add(match[1])
    found.pop("all", None)
    return found


@pytest.fixture(scope="module")
def plans(finished, tmp_path_factory) -> dict[str, Callable[[], dict[str, set[str]]]]:
    """For each change, a function that gives its dry run; they go on side by side, each in a copy of its own."""
    copies: Queue[Path] = Queue()
    for number in range(WORKERS):
        copies.put(shutil.copytree(finished, tmp_path_factory.mktemp("stale") / str(number), symlinks=True))

    def plan(scenario: dict) -> dict[str, set[str]]:
        folder = copies.get()
        try:
            change(folder, scenario)
            return planned(folder)
        finally:
            undone(folder, finished)
            copies.put(folder)

    with ThreadPoolExecutor(WORKERS) as pool:
        yield {scenario["change"]: pool.submit(plan, scenario).result for scenario in CODE + OTHER}


@NEEDS_LATEX
@pytest.mark.parametrize("scenario", CODE + OTHER, ids=lambda scenario: scenario["change"])
def test_exactly_the_stale_rules_rerun(plans, scenario):
    found = plans[scenario["change"]]()
    expected = reruns(scenario, SETS)
    assert set(found) == set(expected)
    for rule, jobs in expected.items():
        if jobs:
            assert found[rule] == (named(jobs, modules(scenario)[0]) if "files" in scenario else set(jobs)), rule


@pytest.fixture(scope="module")
def code(tmp_path_factory) -> Path:
    """A copy of the code alone."""
    folder = tmp_path_factory.mktemp("code")
    for name in ("dynatree", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def fingerprints(root: Path) -> dict[str, str]:
    code_hash.cache_clear()
    return {job: code_hash(script, root) for job, script in JOBS.items()}


@pytest.mark.parametrize("scenario", CODE, ids=lambda scenario: scenario["change"])
def test_a_change_of_each_module_changes_the_fingerprints_of_who_uses_it(code, scenario):
    before = fingerprints(code)
    for module in modules(scenario):
        original = (code / module).read_text()
        edit(code / module)
        now = fingerprints(code)
        (code / module).write_text(original)
        changed = {job for job in JOBS if now[job] != before[job]}
        expected = reruns({"fingerprints": scenario["fingerprints"]}, SETS)
        assert changed == {job for job in JOBS if covered(job, expected, module)}, module


def covered(job: str, expected: dict[str, list[str]], module: Path) -> bool:
    rule, _, name = job.partition(" ")
    return rule in expected and (not expected[rule] or name in named(expected[rule], module))


def test_every_module_and_script_is_in_one_scenario():
    found = sorted(path for scenario in CODE for path in modules(scenario))
    assert found == sorted(
        path.relative_to(ROOT) for kind in ("dynatree", "scripts") for path in (ROOT / kind).rglob("*.py")
    )


@NEEDS_LATEX
def test_the_rules_are_those_of_the_workflow(finished):
    done = snakemake(finished, "-n", "--forceall", "--quiet", "rules")
    jobs = {line.split()[0] for line in done.stdout.splitlines() if line and line.split()[-1].isdigit()}
    assert jobs - {"total", "all"} == set(CONTENT["rules"])


def test_the_document_shows_the_scenarios():
    assert markdown(CONTENT) in (ROOT / "docs/staleness.md").read_text(), "run `make staleness`"
