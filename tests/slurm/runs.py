"""Snakemake with the Slurm profile, in a copy of the repository."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.slurm.cluster import Cluster
from tests.support.repository_copy import copy_repository

PROMPTS = "results/ci/prompts/encyclopaedic.json"
TREE = "results/ci/tree.json"
SLURM = ("--workflow-profile", "profiles/slurm")
LOCAL = ("--cores", "2")
SNAKEMAKE = Path(__file__).parent / "attentive_snakemake.py"
# One job at least of each rule that the profile submits; all other rules run where Snakemake runs.
SUBMITTED = (
    TREE,
    "results/ci/latency.csv",
    "results/ci/heads.json",
    "results/ci/compression/narrative.json",
    "results/ci/records/memory-encyclopaedic.csv",
    "results/ci/arena/narrative.npz",
    "results/ci/records/main-narrative.json",
)


class Run:
    """A copy of the repository in ``folder``, with Snakemake on a cluster."""

    def __init__(self, cluster: Cluster, folder: Path):
        self.cluster = cluster
        self.folder = copy_repository(folder)
        self.environment = cluster.environment | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{cluster.environment['PATH']}",
            "PYTHONPATH": str(self.folder),
            "DYNATREE_SLURM_PARTITION": "cpu",
            "DYNATREE_SLURM_GPU_PARTITION": "gpu",
        }

    def profile_asks_for_gpus(self) -> None:
        """Make the profile ask for a GPU, although the tiny run computes on the CPU."""
        profile = self.folder / "workflow/profiles/slurm/profile.yaml"
        old = '      slurm_extra: "--exclusive"\n'
        assert old in profile.read_text()
        profile.write_text(profile.read_text().replace(old, f"{old}      gpu: 1\n"))

    def take_over(self, other: "Run", *places: str) -> None:
        for place in places:
            shutil.copytree(other.folder / place, self.folder / place)

    def script(self, text: str) -> None:
        """Insert ``text`` at the start of the script of draft_tree."""
        path = self.folder / "scripts/draft_tree.py"
        path.write_text(text + path.read_text())

    def start(self, *arguments: str, profile: tuple[str, ...] = SLURM) -> subprocess.Popen:
        command = [sys.executable, SNAKEMAKE, *arguments, "--configfile", "config/ci.yaml", *profile]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def finish(self, *arguments: str, profile: tuple[str, ...] = SLURM) -> subprocess.CompletedProcess:
        process = self.start(*arguments, profile=profile)
        out, err = process.communicate(timeout=900)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def jobs(self) -> list[dict[str, str]]:
        """Return the fields of the jobs that were submitted from this folder."""
        return [job for job in self.cluster.jobs() if job["WorkDir"] == str(self.folder)]

    def states(self) -> list[str]:
        return [job["JobState"] for job in self.jobs()]


def wait(until: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.2)
