"""One Slurm for all tests, and copies of the repository."""

from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, Unavailable
from tests.slurm.runs import LOCAL, PROMPTS, SUBMITTED, Run


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    try:
        cluster = Cluster(folder)
    except Unavailable as reason:
        pytest.skip(f"no Slurm here: {reason}")
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def submitted(cluster, tmp_path_factory) -> Run:
    """A copy in which a job of every rule that is submitted has gone through Slurm."""
    run = Run(cluster, tmp_path_factory.mktemp("complete"))
    run.profile_asks_for_gpus()
    done = run.finish(*SUBMITTED)
    assert done.returncode == 0, done.stdout + done.stderr
    return run


@pytest.fixture(scope="session")
def prepared(cluster, tmp_path_factory) -> Run:
    """A copy with models and prompts."""
    run = Run(cluster, tmp_path_factory.mktemp("prepared"))
    done = run.finish(PROMPTS, profile=LOCAL)
    assert done.returncode == 0, done.stdout + done.stderr
    return run


@pytest.fixture
def small(prepared: Run, tmp_path: Path) -> Run:
    """A copy in which one Slurm job, draft_tree, is missing for the target ``TREE``."""
    run = Run(prepared.cluster, tmp_path / "copy")
    run.take_over(prepared, "resources", "results/ci/prompts")
    return run
