"""Files for other programs than Python: they agree with each other and with what is there."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M))
CONTAINERS = ("Dockerfile", "dynatree.def")


def test_conda_gets_the_pins_of_the_lock_file():
    dependencies = yaml.safe_load((ROOT / "envs/conda.yaml").read_text())["dependencies"]
    lock = (ROOT / "envs/requirements.lock").read_text().splitlines()
    assert dependencies[-1] == {"pip": [line for line in lock if line and not line.startswith("#")]}
    assert len(dependencies[-1]["pip"]) > 50


def test_conda_refers_to_no_other_file():
    """Snakemake copies the file below .snakemake/conda, where a relative path would lead nowhere."""
    pins = yaml.safe_load((ROOT / "envs/conda.yaml").read_text())["dependencies"][-1]["pip"]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", pin) for pin in pins)


def test_github_runs_what_continuous_integration_runs():
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["make"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == re.findall(r"^make .*$", (ROOT / ".ci/run").read_text(), re.M)
    assert {command.removeprefix("make ") for command in commands} <= TARGETS


def test_github_tries_every_python_that_is_admitted():
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["make"]
    oldest = re.search(r'requires-python = ">=([0-9.]+)"', (ROOT / "pyproject.toml").read_text())[1]
    assert job["strategy"]["matrix"]["python"][0] == oldest


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_use_what_is_there(name):
    text = (ROOT / name).read_text()
    copied = [line for line in text.splitlines() if re.match(r"COPY |    [\w. -]+ /opt/dynatree/", line)]
    assert len(copied) >= 3
    for line in copied:
        *sources, _ = shlex.split(line.removeprefix("COPY "))
        assert all((ROOT / source).exists() for source in sources), line
    made = re.findall(r"^(?:RUN|   ) make(?: -C \S+)? ([a-z ]+)$", text, re.M)
    assert {target for words in made for target in words.split()} == {"latex", "setup"}


def test_what_setup_needs_is_copied_before_it_runs():
    """`make setup` installs the package, so its metadata's files must be in the image."""
    for name in CONTAINERS:
        before = (ROOT / name).read_text().partition("setup\n")[0]
        for file in ("Makefile", "pyproject.toml", "README.md", "LICENSE", "envs", "dynatree"):
            assert re.search(rf"(COPY|   ).*\b{re.escape(file)}\b", before), f"{name}: {file}"


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md"])
def test_documents_name_what_is_there(name):
    text = (ROOT / name).read_text()
    for path in re.findall(r"`([\w./-]+/[\w.-]*)`", text) + re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        assert (ROOT / path).exists() or list((ROOT / "dynatree/analysis").glob(path)), path
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= TARGETS
