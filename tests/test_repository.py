"""Files for other programs than Python: they agree with each other and with what is there."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M))


def test_github_runs_what_continuous_integration_runs():
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["make"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == re.findall(r"^make .*$", (ROOT / ".ci/run").read_text(), re.M)
    assert {command.removeprefix("make ") for command in commands} <= TARGETS


def test_github_tries_every_python_that_is_admitted():
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["make"]
    oldest = re.search(r'requires-python = ">=([0-9.]+)"', (ROOT / "pyproject.toml").read_text())[1]
    assert job["strategy"]["matrix"]["python"][0] == oldest


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md"])
def test_documents_name_what_is_there(name):
    text = (ROOT / name).read_text()
    for path in re.findall(r"`([\w./-]+/[\w.-]*)`", text) + re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        assert (ROOT / path).exists() or list((ROOT / "dynatree/analysis").glob(path)), path
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= TARGETS
