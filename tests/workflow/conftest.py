"""Copies of the repository that the tests of this folder share."""

import pytest

from tests.support.hostile_labels import label_hostilely
from tests.support.repository_copy import Checkout, copy_repository


@pytest.fixture(scope="session")
def finished(preloaded_python, tmp_path_factory) -> Checkout:
    """A copy in which the tiny run has finished, with hostile labels."""
    folder = copy_repository(tmp_path_factory.mktemp("finished") / "copy")
    label_hostilely(folder, "config/hostile.yaml")
    checkout = Checkout(folder, preloaded_python, "config/hostile.yaml")
    checkout.make()
    return checkout


@pytest.fixture(scope="session")
def prepared(preloaded_python, tmp_path_factory) -> Checkout:
    """A copy with the tiny models and prompts, in which nothing is measured."""
    checkout = Checkout(copy_repository(tmp_path_factory.mktemp("prepared") / "copy"), preloaded_python)
    prompts = [f"results/ci/prompts/{name}.json" for name in ("narrative", "encyclopaedic")]
    checkout.make(*prompts, "resources/models/tiny-draft/MANIFEST.sha256")
    return checkout


@pytest.fixture
def copy(prepared, tmp_path) -> Checkout:
    """A copy of `prepared` for one test."""
    return prepared.copy(tmp_path / "copy")
