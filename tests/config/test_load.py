"""Configurations are merged into the defaults as Snakemake merges them."""

import copy

import pytest
import yaml
from snakemake.utils import update_config

from dynatree.config.load import DEFAULTS, load_config, merge
from dynatree.utils.paths import repository_path


def test_mappings_are_merged_and_other_values_replaced():
    base = {"a": {"b": 1, "c": [1, 2]}, "d": {}}
    assert merge(base, {"a": {"c": [3]}, "e": 4}) == {"a": {"b": 1, "c": [3]}, "d": {}, "e": 4}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": {}}


@pytest.mark.parametrize("name", ["demo", "ci", "paper", "local.example"])
def test_the_workflow_merges_in_the_same_way(name):
    merged = yaml.safe_load(repository_path(DEFAULTS).read_text())
    path = repository_path(f"config/{name}.yaml")
    update_config(merged, copy.deepcopy(yaml.safe_load(path.read_text())))
    assert load_config(path) == merged


def test_the_defaults_name_no_run_and_no_model():
    assert not {"run", "models", "prompts"} & set(yaml.safe_load(repository_path(DEFAULTS).read_text()))
