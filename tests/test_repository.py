"""Files for other programs than Python agree with each other and with the repository."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M))
DOCUMENTS = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_lock_file_pins_every_dependency_exactly():
    lines = (ROOT / "envs/requirements.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", pin) for pin in pins)
    pinned = {_normalize(pin.partition("==")[0]) for pin in pins}
    declared = [
        *PROJECT["dependencies"],
        *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
    ]
    assert {_normalize(re.match(r"[A-Za-z0-9._-]+", line)[0]) for line in declared} <= pinned


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_github_runs_what_continuous_integration_runs():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"].values()
    commands = {step["run"] for job in jobs for step in job["steps"] if "run" in step}
    assert commands >= set(re.findall(r"^make .*$", (ROOT / ".ci/run").read_text(), re.M))
    assert {command.removeprefix("make ") for command in commands} <= TARGETS


def test_github_tests_every_declared_python():
    matrix = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]["strategy"]["matrix"]
    declared = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert matrix["python"] == declared
    assert PROJECT["requires-python"] == f">={declared[0]}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_link_to_existing_files(path):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
        assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_existing_paths_and_targets(path):
    text = path.read_text()
    folders = "config|docs|dynatree|envs|examples|models|scripts|tests|workflow"
    for name in re.findall(rf"`((?:{folders})/[\w./-]+)`", text):
        assert (ROOT / name).exists(), name
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= TARGETS


def test_every_document_is_in_the_navigation():
    lines = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert sorted(re.findall(r"[a-z]+\.md", lines)) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_every_interruption_names_its_test():
    text = (ROOT / "docs/interruptions.md").read_text()
    rows = [line for line in text.partition("## Locks")[0].splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 12
    for row in rows:
        path, name = re.search(r"`(tests/[\w/]+\.py)::(\w+)` \|$", row).groups()
        assert f"def {name}(" in (ROOT / path).read_text(), name
