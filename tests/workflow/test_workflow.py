"""The whole pipeline with tiny random models, in a copy of the repository."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

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
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A copy in which the tiny run has finished."""
    folder = copy_repository(tmp_path_factory.mktemp("run"))
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@NEEDS_LATEX
def test_it_goes_through_to_the_pdf(finished):
    for name in ("paper/ci/dynatree.pdf", "figures/ci/main.pdf", "figures/ci/main.png", "results/ci/tables/main.tex"):
        assert (finished / name).stat().st_size > 500, name
    table = pd.read_csv(finished / "results/ci/tables/main.csv")
    assert len(table) == 16
    summary = pd.read_csv(finished / "results/ci/summary/main.csv")
    assert (summary["identical"] == summary["prompts"]).all()
    trees = summary[summary["method"].isin(["fixed_tree", "dynatree"])]
    assert (trees["tokens_per_round"] > 1).all(), "the tiny draft must be right sometimes"
    assert (trees["verified_per_token"] > 1).all(), "the tiny trees must branch"


@NEEDS_LATEX
def test_records_say_where_they_come_from(finished):
    content = json.loads((finished / "results/ci/records/main/narrative.json").read_text())
    assert len(content["records"]) == 3 * 8
    assert {len(record["tokens"]) for record in content["records"]} == {24}
    meta = content["meta"]
    assert len(meta["code"]) == 16
    assert meta["environment"]["threads"] == 1
    assert set(meta["environment"]["versions"]) >= {"torch", "transformers", "python"}
    assert not list((finished / "results").rglob("*.journal"))


@NEEDS_LATEX
def test_a_second_run_finds_nothing_to_do(finished):
    done = snakemake(finished, "-n")
    assert "Nothing to be done" in done.stdout + done.stderr
    assert "profiles/default" in done.stdout + done.stderr


@NEEDS_LATEX
@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        (
            "dynatree/analysis/figures.py",
            "height * 0.9",
            "height * 0.8",
            {"figure_main", "render_paper", "compile_paper", "all"},
        ),
        ("dynatree/analysis/figures.py", "figsize=(7.2, 3.9)", "figsize=(7.2, 3.9)  # inches", set()),
        ("paper/limitations.tex.j2", "One pair", "A single pair", {"render_paper", "compile_paper", "all"}),
        (
            "dynatree/tree.py",
            "depth = self.depth + 1",
            "depth = 1 + self.depth",
            {"measure_main", "summarise_main", "table_main", "figure_main", "render_paper", "compile_paper", "all"},
        ),
    ],
)
def test_an_edit_reruns_what_uses_it(finished, name, old, new, expected):
    path = finished / name
    before, times = path.read_text(), path.stat()
    assert old in before
    path.write_text(before.replace(old, new))
    try:
        done = snakemake(finished, "-n", "--quiet", "rules")
    finally:
        path.write_text(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    jobs = {line.split()[0] for line in done.stdout.splitlines() if line and line.split()[-1].isdigit()}
    assert jobs - {"total"} == expected, done.stdout + done.stderr


def test_a_dry_run_works_before_anything_is_fetched_and_imports_no_torch(tmp_path):
    folder = copy_repository(tmp_path)
    (folder / "torch.py").write_text("raise ImportError('the workflow imported torch')\n")
    done = snakemake(folder, "-n", config="config/demo.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    for rule in ("fetch_model", "prepare_prompts", "measure_main", "compile_paper"):
        assert rule in done.stdout


def test_a_wrong_configuration_is_one_line(tmp_path):
    folder = copy_repository(tmp_path)
    config = yaml.safe_load((folder / "config/ci.yaml").read_text())
    config["methods"]["dynatree"]["options"]["node_bugdet"] = 3
    (folder / "wrong.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(folder, "-n", config="wrong.yaml")
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert len(errors) == 1
    assert errors[0].startswith("error: config: methods/dynatree: method 'dynatree' does not take node_bugdet")
    assert "Traceback" not in done.stderr


def test_a_missing_model_says_what_to_do(tmp_path):
    folder = copy_repository(tmp_path)
    config = yaml.safe_load((folder / "config/ci.yaml").read_text())
    config["models"]["draft"] = {"name": "lost", "label": "lost", "source": {"kind": "folder", "path": "nowhere"}}
    (folder / "lost.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(folder, "resources/models/lost/MANIFEST.sha256", config="lost.yaml")
    assert done.returncode != 0
    assert "nowhere is not a checkpoint: config.json or *.safetensors is missing" in done.stdout + done.stderr
