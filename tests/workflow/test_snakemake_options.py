"""Options of Snakemake itself work on a finished run, or are refused in one sentence."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.repository_copy import NEEDS_LATEX, Checkout

pytestmark = [NEEDS_LATEX, pytest.mark.xdist_group("finished run")]


def snakemake(checkout: Checkout, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run a dry run of Snakemake from a folder, with nothing but these arguments."""
    command = [str(checkout.python), "-m", "snakemake", "-n", *arguments]
    return subprocess.run(command, cwd=folder, env=checkout.environment(), capture_output=True, text=True)


def rules(shown: str) -> set[str]:
    """Return the rules of the jobs that a dry run lists."""
    return {line.split()[-1].rstrip(":") for line in shown.splitlines() if line.startswith(("rule ", "localrule "))}


@pytest.fixture
def from_the_future(finished):
    """Prompts that were written before the clock was set back."""
    path = finished / "results/ci/prompts/narrative.json"
    before, future = path.stat(), time.time() + 86400
    os.utime(path, (future, future))
    yield path
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.usefixtures("from_the_future")
@pytest.mark.parametrize("triggers", ["mtime", pytest.param("code", marks=pytest.mark.nightly)])
def test_a_finished_run_is_found_from_another_folder(finished, triggers):
    relative = os.path.relpath(finished.folder, finished / "config")
    done = snakemake(
        finished,
        finished / "config",
        *("--snakefile", f"{relative}/Snakefile", "--directory", relative, "--configfile", Path(finished.config).name),
        *("--rerun-triggers", triggers),
    )
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.parametrize("place", ["--directory", "working directory"])
def test_another_folder_is_refused_in_a_sentence(finished, tmp_path, place):
    config = str(finished / finished.config)
    if place == "--directory":
        done = snakemake(finished, finished.folder, "--directory", str(tmp_path), "--configfile", config)
    else:
        done = snakemake(finished, tmp_path, "--snakefile", str(finished / "Snakefile"), "--configfile", config)
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert f"works in {finished.folder} only, not in {tmp_path}; start it there, or with --directory" in error
    assert done.returncode != 0 and "Traceback" not in done.stderr


def test_set_threads_is_refused_in_a_sentence(finished):
    done = finished.snakemake("-n", "--set-threads", "measure=2")
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "use --config threads=N" in error
    assert done.returncode != 0 and "Traceback" not in done.stderr


def test_forcerun_and_until_select_rules(finished):
    shown = finished.make("-n", "--forcerun", "measure_memory", "--until", "summarize_memory")
    assert rules(shown) == {"measure_memory", "summarize_memory"}


def test_values_of_the_command_line_change_the_configuration(finished):
    shown = finished.make("results/ci/latency.csv", "-n", "--config", "threads=2")
    assert rules(shown) == {"measure_latency"}


@pytest.mark.nightly
def test_a_value_of_the_command_line_changes_the_default_configuration(finished):
    done = snakemake(finished, finished.folder, "--config", "run=mine", "--", "results/mine/latency.csv")
    assert done.returncode == 0, done.stderr
    assert "resources/models/smollm2-135m-instruct" in done.stdout


@pytest.mark.nightly
def test_several_configuration_files_are_merged(finished, tmp_path):
    more = tmp_path / "more.yaml"
    more.write_text("threads: 2\n")
    done = snakemake(
        finished, finished.folder, "--configfile", finished.config, str(more), "--", "results/ci/latency.csv"
    )
    assert rules(done.stdout) == {"measure_latency"}
