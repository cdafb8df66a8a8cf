"""Compressed caches under trees: a compressed draft changes no output; a compressed target's is the autoregressive one."""

import functools
import itertools
import json

import pytest
import torch
from replay import ENDLESS, KINDS
from tiny import VOCABULARY, disturbed, reference, tiny_model

from dynatree import DynatreeError, ModelPair, generate, generate_batch
from dynatree.kvcompress import compress
from dynatree.kvcompress.registry import find_method

METHODS = {
    "l2_norm": {"budget": 12},
    "fixed_size_l2": {"budget": 12, "keep": "high", "recent": 4},
    "recent_only": {"budget": 12},
    "streaming_llm": {"sinks": 2, "window": 10},
    "true positions": {"sinks": 2, "window": 10, "rotate": False, "skip_layers": [1]},
    "head_aware": {"sinks": 2},
    "snapkv": {"budget": 12, "window": 4, "pool": 3, "when": "both"},
    "h2o": {"budget": 12, "recent": 4},
    "share": {"keep_ratio": 0.4},
}
NAMES = {"true positions": "streaming_llm", "share": "l2_norm"}
POLICIES = {
    "linear": {"length": 4},
    "fixed_tree": {"depth": 3, "branch": 3, "prune_probability": 0.0, "node_budget": 20},
    "dynatree": {"node_budget": 12},
    "throughput": {"node_budget": 12},
}


@functools.cache
def pair_of(kind: str, noise: float = 0.06) -> ModelPair:
    return ModelPair(tiny_model(kind), disturbed(tiny_model(kind), noise))


@pytest.fixture(scope="module")
def classification(tmp_path_factory):
    """Files of head windows for both kinds of model."""
    folder, files = tmp_path_factory.mktemp("heads"), {}
    for kind, heads, kv_heads in (("llama", 6, 2), ("gpt_neox", 4, 4)):
        windows = [(layer, head, 4 + 5 * (layer + head // 3)) for layer in range(2) for head in range(heads)]
        files[kind] = folder / f"{kind}.json"
        model = {"layers": 2, "heads": heads, "kv_heads": kv_heads}
        entries = [{"layer": layer, "head": head, "kind": "local", "window": window} for layer, head, window in windows]
        files[kind].write_text(
            json.dumps({"format": "dynatree-heads", "version": 1, "model": model, "heads": entries})
        )
    return files


def cache_of(name: str, classification, kind: str, **more):
    options = METHODS[name] | more
    if name == "head_aware":
        options["classification"] = classification[kind]
    return NAMES.get(name, name), options


def prompt_of(length: int, seed: int = 0) -> list[int]:
    return torch.randint(4, VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


CASES = [
    (name, policy, KINDS[index % 2], index % 5 % 3, (1, 7, 30)[index // 2 % 3], 0.8 * (index % 4 == 3))
    for index, (name, policy) in enumerate(itertools.product(METHODS, POLICIES))
]  # method, policy, model, how often, length of the prompt, temperature


@pytest.mark.parametrize(("name", "policy", "kind", "often", "length", "temperature"), CASES)
def test_a_compressed_draft_changes_no_output(classification, name, policy, kind, often, length, temperature):
    pair, prompt = pair_of(kind), prompt_of(length)
    cache = cache_of(name, classification, kind, every=(1, 3, 8)[often])
    plain = generate(pair, prompt, "autoregressive", 40, None, temperature=temperature)
    out = generate(pair, prompt, policy, 40, None, temperature=temperature, draft_cache=cache, **POLICIES[policy])
    assert out.tokens == plain.tokens
    assert temperature or out.tokens == reference(pair.target, prompt, 40, None)


@pytest.mark.parametrize(("name", "policy", "kind", "often", "length", "temperature"), CASES)
def test_speculation_adds_no_error_to_a_compressed_target(
    classification, name, policy, kind, often, length, temperature
):
    pair, prompt = pair_of(kind), prompt_of(length)
    cache = cache_of(name, classification, kind, every=(2, 5, 16)[often])
    how = {"temperature": temperature, "target_cache": cache}
    alone = generate(pair, prompt, "autoregressive", 50, None, **how)
    out = generate(pair, prompt, policy, 50, None, **how, draft_cache=cache, **POLICIES[policy])
    assert out.tokens == alone.tokens
    assert generate(pair, prompt, policy, 50, None, **how, **POLICIES[policy]).tokens == alone.tokens


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("when", ["prefill", "decode", "both"])
def test_a_compressed_target_decodes_as_hugging_face_does_inside_compress(classification, name, kind, every, when):
    pair, prompt = pair_of(kind), prompt_of(30)
    method, options = cache_of(name, classification, kind, every=every, when=when)
    with compress(pair.target, method, **options):
        expected = pair.target.generate(torch.tensor([prompt]), max_new_tokens=40, **ENDLESS)[0, 30:].tolist()
    assert generate(pair, prompt, "autoregressive", 40, None, target_cache=(method, options)).tokens == expected
