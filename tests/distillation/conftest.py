"""A tiny target and text sampled from it."""

import pytest

from dynatree.data.random_model import SPECIAL, byte_tokenizer
from dynatree.distillation.corpus import sample_text, shard_paths
from tests.support.models import tiny_model


@pytest.fixture(scope="package")
def target():
    return tiny_model(vocabulary=len(SPECIAL) + 256)


@pytest.fixture(scope="package")
def folder(target, tmp_path_factory):
    """Three shards of sampled text."""
    folder = tmp_path_factory.mktemp("samples")
    sample_text(target, byte_tokenizer(), shard_paths(folder, 3), sequences=8, length=48, seed=5)
    return folder
