"""Mistakes in a configuration are one line that names the key."""

import copy
from pathlib import Path

import pytest

from dynatree import DynatreeError
from dynatree.config.load import load_config
from dynatree.config.validation import check

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["demo", "ci", "paper", "paper-quick", "specbench", "local.example", "gemma"])
def test_shipped_configurations_are_right(name):
    check(load_config(ROOT / f"config/{name}.yaml"))


def test_a_method_may_compress_its_draft():
    config = load_config(ROOT / "config/demo.yaml")
    config["methods"]["cost_aware"]["draft_cache"] = {"method": "sliding_window", "budget": 64}
    check(config)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("thread", 2, "the configuration has the unknown key 'thread'; known are "),
        ("experiments/main/new_token", 2, "experiments/main has the unknown key 'new_token'"),
        ("models/target/source/revision", "0" * 40, "models/target/source has the unknown key 'revision'"),
        ("threads", "two", "threads: 'two' is not of type 'integer'"),
        ("threads", 0, "threads: 0 is less than the minimum of 1"),
        ("dtype", "int4", "dtype: 'int4' is not one of"),
        ("device", "cuda", "backend: small_batch needs device: cpu and dtype: float32; choose backend: stock"),
        ("backend", "graphs", "backend: graphs needs device: cuda; choose backend: stock"),
        ("run", "../escape", "run: '../escape' does not match"),
        ("models/target/name", "a/b", "models/target/name: 'a/b' does not match"),
        ("models/draft/name", "smollm2-135m-instruct", "models/draft/name must differ"),
        ("experiments/main/datasets", ["poems"], "names 'poems'; known are encyclopaedic, narrative"),
        ("experiments/main/methods", ["autoregressive", "magic"], "experiments/main/methods names 'magic'; known are"),
        (
            "experiments/main/methods",
            ["chain", "dynatree"],
            "experiments/main/methods: ['chain', 'dynatree'] does not",
        ),
        ("experiments/ablation/prompts", 13, "experiments/ablation/prompts asks for 13 prompts, but prompts/"),
        ("experiments/sensitivity/depths", [[5, 4]], "case depths-5-4: base_depth <= max_depth must hold"),
        ("experiments/sensitivity/thresholds", [[0.2, 0.9]], "low_confidence <= high_confidence must hold"),
        ("experiments/sensitivity/cross/aggressive", {"speed": 2}, "case cross-aggressive: method 'dynatree' does not"),
        ("experiments/sweep/thresholds", [1.5], "experiments/sweep/thresholds/0: 1.5 is greater than the maximum of 1"),
        ("experiments/dtypes/dtypes", ["int4"], "experiments/dtypes/dtypes/0: 'int4' is not one of"),
        ("experiments/memory", {}, "experiments/memory: 'datasets' is a required property"),
        (
            "prompts/narrative/tuning",
            0,
            "experiments/main measures every prompt of narrative, but the warm-up needs others",
        ),
        ("prompts/narrative/mode", "tokens", "prompts/narrative/mode does not apply to kind file"),
        (
            "prompts/narrative/source",
            {"kind": "books", "path": "b"},
            "prompts/narrative needs mode (published or tokens)",
        ),
        ("prompts/narrative/stands_for", "C4", "prompts/narrative/stands_for: 'C4' is not one of"),
        ("heads/datasets", ["poems"], "heads/datasets names 'poems'; known are encyclopaedic, narrative"),
        ("compression/datasets", ["poems"], "compression/datasets names 'poems'; known are encyclopaedic, narrative"),
        ("compression/texts", 7, "compression/texts asks for 7 texts, but prompts/chapters/count is 5"),
        (
            "compression/generation/prompt_tokens",
            999,
            "compression/generation/prompt_tokens exceeds compression/tokens",
        ),
        ("compression/methods/h2o/method", "magic", "compression/methods/h2o/method: 'magic' is not one of"),
        ("compression/methods/h2o/options", {"budget": 3}, "compression/methods/h2o/options/budget is given by"),
        ("compression/methods/h2o/rows_of", "snapkv", "compression/methods/h2o/rows_of must name a method"),
        ("compression/methods/head_aware/recent_share", 0.5, "head_aware/recent_share needs the budgets of the grid"),
        (
            "experiments/draft_cache/caches",
            ["head_aware"],
            "caches names 'head_aware'; methods with a budget in compression",
        ),
        ("experiments/draft_cache/caches", ["magic"], "caches names 'magic'; methods with a budget in compression are"),
        (
            "experiments/draft_cache/methods",
            ["autoregressive", "chain"],
            "draft_cache/methods names 'chain'; it takes methods of engine dynatree that have options",
        ),
        (
            "experiments/draft_cache/methods",
            ["autoregressive", "hf_assisted"],
            "draft_cache/methods names 'hf_assisted'; it takes methods of engine dynatree that have options",
        ),
        (
            "experiments/draft_cache/methods",
            ["autoregressive", "cost_aware_ngram"],
            "draft_cache/methods names 'cost_aware_ngram', which drafts without a model",
        ),
        (
            "methods/dynatree/draft_cache",
            {"method": "sliding_window", "budget": 8},
            "draft_cache/methods names 'dynatree', which has a draft_cache already",
        ),
        (
            "compression/methods/head_aware/options/sinks",
            2,
            "compression/methods/head_aware/options/sinks is below heads/sinks",
        ),
        ("compression/methods/full", {"label": "x"}, "compression/methods"),
        ("heads/recent", 16, "heads/recent must exceed heads/local"),
        ("heads/tokens", 20, "heads/tokens must exceed heads/sinks and heads/local together"),
        ("heads/sink", 4, "heads has the unknown key 'sink'; known are "),
        ("methods/dynatree/options", {"target_cache": "full"}, "method 'dynatree' does not take target_cache"),
        ("methods/chain/tuned", "fixed_tree", "methods/chain: tuned: fixed_tree needs method fixed_tree, not chain"),
        ("methods/chain/options", {}, "methods/chain needs either options or tuned, and not both"),
        ("prompt_tokens/max", 3, "prompt_tokens/min exceeds prompt_tokens/max"),
        ("methods/dynatree/options", {"depth": 3}, "methods/dynatree: method 'dynatree' does not take depth"),
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


def test_a_cut_beyond_the_length_of_the_prompts_is_refused(demo_config):
    config = copy.deepcopy(demo_config)
    source = {"kind": "books", "path": "books"}
    config["prompts"]["encyclopaedic"] |= {"source": source, "mode": "tokens", "length": 32}
    with pytest.raises(DynatreeError, match="limits asks for 40 tokens, but prompts/encyclopaedic/length is 32"):
        check(config)
