"""A finished tiny run, shared by the tests of this folder."""

from pathlib import Path

import pytest

from tests.support.repository_copy import copy_repository, snakemake


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A copy in which the tiny run has finished."""
    folder = copy_repository(tmp_path_factory.mktemp("run"))
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
