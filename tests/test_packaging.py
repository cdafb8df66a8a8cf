"""`pip install .` installs the package and the command, and nothing of the pipeline."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import dynatree
from dynatree.data.checkpoints import fetch
from dynatree.provenance.fingerprint import entry_points, import_closure
from dynatree.version import __version__

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "dynatree", "tests", "models", "scripts", "results/snapshots")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Return the wheel, built from a copy so that files of an earlier build have no effect."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, source / name)
    built = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", source, "--no-deps", "--no-build-isolation", "--quiet", "-w", built], check=True)
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--quiet", "--target", folder, wheel], check=True)
    return folder


def run(installed: Path, *command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    return subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True)


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "dynatree").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == modules | {
        "dynatree/py.typed",
        "dynatree/distillation/chat.yaml",
        "dynatree/distillation/openings.yaml",
        "dynatree/models/verdicts.json",
    }
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_command_works_outside_the_repository(installed, tmp_path):
    command = str(installed / "bin/dynatree")
    version = run(installed, command, "--version")
    assert version.stdout == f"dynatree {__version__}\n", version.stderr
    assert "generate" in run(installed, command, "--help").stdout
    options = {"kind": "random", "architecture": "llama", "seed": 1, "layers": 1}
    fetch(options, tmp_path / "target")
    fetch(options | {"noise": 0.05}, tmp_path / "draft")
    models = ["--target", str(tmp_path / "target"), "--draft", str(tmp_path / "draft")]
    done = run(installed, command, "generate", *models, "--max-new-tokens", "8", "--ignore-eos", "--json", "Hello")
    assert done.returncode == 0, done.stderr
    expected = dynatree.generate(dynatree.load_pair(*models[1::2]), "Hello", max_new_tokens=8, eos_token_id=None)
    assert yaml.safe_load(done.stdout)["tokens"] == expected.tokens


def test_what_needs_the_repository_says_so(installed):
    program = "import dynatree; from dynatree.config.validation import check\n"
    program += "assert 'installed' in dynatree.__file__\n"
    program += "try: check({})\nexcept dynatree.DynatreeError as error: print(error)"
    done = run(installed, sys.executable, "-c", program)
    assert "config/schema.yaml is missing: the pipeline is not part of the installed package" in done.stdout, (
        done.stderr
    )


def test_an_installed_package_does_not_claim_somebody_elses_commit(installed):
    subprocess.run(["git", "init", "--quiet", installed.parent], check=True)
    done = run(installed, sys.executable, "-c", "from dynatree.utils.host import checkout; print(checkout())")
    assert done.stdout == "{'commit': 'unknown', 'uncommitted_changes': False}\n", done.stderr
    shutil.rmtree(installed.parent / ".git")


def test_every_pinned_package_runs_on_the_python_of_debian_12():
    pins = [line.split("==")[0] for line in (ROOT / "envs/requirements.lock").read_text().splitlines() if "==" in line]
    wanted = {name: importlib.metadata.metadata(name).get("Requires-Python") or "" for name in pins}
    assert {name: found for name, found in wanted.items() if "3.11.2" not in SpecifierSet(found)} == {}


def test_there_is_one_version():
    assert dynatree.__version__ == __version__
    for name in ("CITATION.cff", "codemeta.json", ".zenodo.json"):
        assert yaml.safe_load((ROOT / name).read_text())["version"] == __version__, name
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_a_new_version_reruns_nothing():
    for starts in entry_points().values():
        assert ROOT / "dynatree/version.py" not in import_closure(*starts)
