"""A copy of the repository, and Snakemake in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "workflow", "profiles", "config", "dynatree", "scripts", "paper", "envs", "results/published")
NEEDS_LATEX = pytest.mark.skipif(not shutil.which("latexmk"), reason="latexmk is missing; `make latex` installs it")


def copy_repository(folder: Path) -> Path:
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


def snakemake(folder: Path, *arguments: str, config: str = "config/ci.yaml") -> subprocess.CompletedProcess:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--configfile", config]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800)
