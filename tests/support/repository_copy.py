"""A copy of the repository, and Snakemake in it."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "workflow", "profiles", "config", "dynatree", "scripts", "paper", "envs", "results/published")
NEEDS_LATEX = pytest.mark.skipif(not shutil.which("latexmk"), reason="latexmk is missing; `make latex` installs it")


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository in ``folder``, the Python of its processes and its usual configuration."""

    folder: Path
    python: Path = Path(sys.executable)
    config: str = "config/ci.yaml"

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def environment(self) -> dict[str, str]:
        """Return the environment in which `python` is the Python of this copy and imports the package from it."""
        path = f"{self.python.parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "PYTHONPATH": str(self.folder)}

    def command(self, *arguments: str, config: str | None = None) -> list[str]:
        """Return the command of Snakemake; one core, because another worker may run tests at the same time."""
        command = [str(self.python), "-m", "snakemake", *arguments]
        return [*command, "--cores", "1", "--configfile", config or self.config]

    def snakemake(self, *arguments: str, config: str | None = None) -> subprocess.CompletedProcess:
        """Run Snakemake to its end."""
        command = self.command(*arguments, config=config)
        return subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=1800
        )

    def make(self, *targets: str, config: str | None = None) -> str:
        """Run Snakemake, which must succeed, and return what it prints."""
        done = self.snakemake(*targets, config=config)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def with_ordinary_python(self) -> "Checkout":
        """Return the same copy for processes that a signal must end."""
        return replace(self, python=Path(sys.executable))

    def copy(self, folder: Path) -> "Checkout":
        """Copy everything, results and times of files included, into a new folder."""
        subprocess.run(["cp", "-a", self.folder, folder], check=True)
        return replace(self, folder=folder)


def copy_repository(folder: Path) -> Path:
    """Copy the parts of the repository that the pipeline uses, without any results."""
    for part in PARTS:
        source, goal = ROOT / part, folder / part
        goal.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            goal.symlink_to(source.readlink())
        elif source.is_dir():
            shutil.copytree(source, goal, ignore=shutil.ignore_patterns("__pycache__", "demo", "ci"))
        else:
            shutil.copy2(source, goal)
    return folder
