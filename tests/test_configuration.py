"""Mistakes in a configuration are one line that names the key."""

import copy
from pathlib import Path

import pytest
import yaml

from dynatree import DynatreeError
from dynatree.configuration import check

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", ["demo", "ci"])
def test_shipped_configurations_are_right(name):
    check(yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("thread", 2, "the configuration has the unknown key 'thread'; known are "),
        ("experiments/main/new_token", 2, "experiments/main has the unknown key 'new_token'"),
        ("models/target/source/revision", "0" * 40, "models/target/source has the unknown key 'revision'"),
        ("threads", "two", "threads: 'two' is not of type 'integer'"),
        ("threads", 0, "threads: 0 is less than the minimum of 1"),
        ("dtype", "int4", "dtype: 'int4' is not one of"),
        ("run", "../escape", "run: '../escape' does not match"),
        ("models/target/name", "a/b", "models/target/name: 'a/b' does not match"),
        ("models/draft/name", "smollm2-135m-instruct", "models/draft/name must differ"),
        ("experiments/main/prompts", ["poems"], "names 'poems'; known are encyclopaedic, narrative"),
        ("prompt_tokens/most", 3, "prompt_tokens/least exceeds prompt_tokens/most"),
        ("methods/linear/options", {"depth": 3}, "methods/linear: method 'linear' does not take depth"),
        ("methods/dynatree/options", {"node_budget": 0}, "methods/dynatree: node_budget must be"),
        ("methods/hf_assisted/method", "magic", "methods/hf_assisted: unknown Hugging Face method 'magic'"),
    ],
)
def test_mistakes_name_their_key(demo_config, path, value, message):
    config = copy.deepcopy(demo_config)
    *parents, key = path.split("/")
    place = config
    for parent in parents:
        place = place[parent]
    place[key] = value
    with pytest.raises(DynatreeError, match=r"^config: .*") as caught:
        check(config)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named(demo_config):
    config = copy.deepcopy(demo_config)
    del config["models"]["draft"]
    with pytest.raises(DynatreeError, match="config: models: 'draft' is a required property"):
        check(config)
