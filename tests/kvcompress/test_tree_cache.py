"""Compressed caches under trees: the draft's changes no output, the target's gives the autoregressive one."""

import functools
import itertools
import json
import weakref

import pytest
import torch

from dynatree import DynatreeError, ModelPair, generate, generate_batch
from dynatree.kvcompress import compress
from dynatree.kvcompress.registry import find_method, make_method
from dynatree.kvcompress.tree_cache import CompressedTreeCache
from dynatree.models.loading import load_pair
from dynatree.models.runner import ModelRunner
from tests.support.models import VOCABULARY, disturbed, reference, tiny_model
from tests.support.replay_methods import ENDLESS, KINDS

METHODS = {
    "l2_norm": {"budget": 12},
    "l2_norm_recent": {"budget": 12, "keep": "high", "recent": 4},
    "sliding_window": {"budget": 12},
    "streaming_llm": {"sinks": 2, "window": 10},
    "true positions": {"sinks": 2, "window": 10, "rotate": False, "skip_layers": [1]},
    "head_aware": {"sinks": 2},
    "snapkv": {"budget": 12, "window": 4, "pool": 3, "when": "both"},
    "h2o": {"budget": 12, "recent": 4},
    "share": {"keep_ratio": 0.4},
}
NAMES = {"true positions": "streaming_llm", "share": "l2_norm"}
POLICIES = {
    "chain": {"length": 4},
    "fixed_tree": {"depth": 3, "branch": 3, "prune_probability": 0.0, "node_budget": 20},
    "dynatree": {"node_budget": 12},
    "cost_aware": {"node_budget": 12},
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
        files[kind].write_text(json.dumps({"format": "dynatree-heads", "version": 1, "model": model, "heads": entries}))
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
@pytest.mark.parametrize(("when", "every"), [("both", 1), ("both", 4), ("prefill", 4), ("decode", 1)])
def test_a_compressed_target_decodes_as_hugging_face_does_inside_compress(classification, name, kind, every, when):
    pair, prompt = pair_of(kind), prompt_of(30)
    method, options = cache_of(name, classification, kind, every=every, when=when)
    with compress(pair.target, method, **options):
        expected = pair.target.generate(torch.tensor([prompt]), max_new_tokens=40, **ENDLESS)[0, 30:].tolist()
    assert generate(pair, prompt, "autoregressive", 40, None, target_cache=(method, options)).tokens == expected


ENDLESS_CACHE = ("streaming_llm", {"sinks": 2, "window": 10, "every": 8})


@pytest.mark.parametrize("kind", KINDS)
def test_generation_goes_on_beyond_the_positions_at_constant_size(kind):
    target = tiny_model(kind, positions=32)
    pair, prompt, new = ModelPair(target, disturbed(target)), prompt_of(9), 4 * 32
    with compress(target, "streaming_llm", **ENDLESS_CACHE[1]):
        expected = target.generate(torch.tensor([prompt]), max_new_tokens=new, **ENDLESS)[0, 9:].tolist()
    caches = {"target_cache": ENDLESS_CACHE, "draft_cache": ENDLESS_CACHE}
    out = generate(pair, prompt, "dynatree", new, None, node_budget=10, **caches)
    assert out.tokens == expected
    longer = generate(pair, prompt, "dynatree", 2 * new, None, node_budget=10, **caches)
    assert all(cache["bytes"] == longer.stats.caches[role]["bytes"] for role, cache in out.stats.caches.items())
    assert all(cache["rows"] <= 12 + 8 + 10 for cache in longer.stats.caches.values())


def test_a_real_model_predicts_its_text_beyond_its_positions(embedded_target):
    pair, positions = load_pair(embedded_target, None, "cpu", "float32"), 32
    pair.target.config.max_position_embeddings = positions
    prompt = pair.tokenizer("The history of the lighthouse begins").input_ids
    cache = {"sinks": 4, "window": 18, "every": 8}
    new = 3 * positions - len(prompt)
    with pytest.raises(DynatreeError, match=f"the target has {positions}"):
        generate(pair, prompt, "cost_aware", new, None)
    out = generate(pair, prompt, "cost_aware", new, None, target_cache=("streaming_llm", cache))
    text = torch.tensor([prompt + out.tokens])
    kept, losses = None, []
    with torch.inference_mode(), compress(pair.target, "streaming_llm", **cache):
        for start in range(0, text.shape[1] - 1, 8):
            chunk = text[:, start : start + 8]
            step = pair.target(chunk, past_key_values=kept)
            kept, following = step.past_key_values, text[0, start + 1 : start + 9]
            logits = step.logits[0, : len(following)]
            losses += torch.nn.functional.cross_entropy(logits, following, reduction="none").tolist()
    assert len(losses) == 3 * positions - 1
    assert sum(losses[-positions:]) / positions < 3  # nats per token; ln of the vocabulary is 10.8
    assert out.stats.caches["target"]["rows"] <= 22 + 8 + 256


@pytest.mark.parametrize("new", [0, 1, 2, 17])
def test_a_request_may_end_anywhere(new):
    pair, prompt = pair_of("llama"), prompt_of(20)
    caches = {"target_cache": "sliding_window:budget=8,every=4", "draft_cache": "l2_norm:budget=6"}
    whole = generate(pair, prompt, "autoregressive", 17, None, target_cache=caches["target_cache"]).tokens
    assert generate(pair, prompt, "dynatree", new, None, **caches).tokens == whole[:new]
    first = whole.index(whole[9]) + 1
    assert generate(pair, prompt, "dynatree", 17, whole[9], **caches).tokens == whole[:first]


@pytest.mark.parametrize("kind", KINDS)
def test_the_buffer_of_the_prompt_is_freed_after_an_eviction(kind):
    model = tiny_model(kind)
    tree = CompressedTreeCache(model, make_method("sliding_window", budget=8), 100, 4)
    cached = ModelRunner(model, "target", 100, cache=tree)
    with torch.inference_mode():
        cached.forward(prompt_of(60), range(60), last_only=True)
        before = weakref.ref(tree.parts[0].buffer.untyped_storage())
        tree.keep(60, [])
    assert tree.entries == 8
    assert before() is None


def test_pending_attention_counts_as_memory():
    model = tiny_model("llama")
    tree = CompressedTreeCache(model, make_method("h2o", budget=30, every=50), 100, 20)
    cached = ModelRunner(model, "target", 100, cache=tree)
    with torch.inference_mode():
        cached.forward(prompt_of(20), range(20), last_only=True)
        tree.keep(20, [])
        held = tree.bytes()
        visible = torch.ones(12, 12, dtype=torch.bool).tril()
        cached.forward(prompt_of(12), range(20, 32), visible)
    waiting = 2 * 12 * 32 * 4  # kv_heads, tokens, rows, bytes of a number, in each layer
    assert tree.bytes() >= held + model.config.num_hidden_layers * waiting


def test_a_batch_compresses_drafts_only():
    pair, prompts = pair_of("llama"), [prompt_of(5), prompt_of(25)]
    outs = generate_batch(pair, prompts, "dynatree", 30, None, draft_cache="sliding_window:budget=8")
    assert [out.tokens for out in outs] == [reference(pair.target, prompt, 30, None) for prompt in prompts]
    with pytest.raises(DynatreeError, match="one prompt at a time"):
        generate_batch(pair, prompts, target_cache="sliding_window:budget=8,every=8")


def test_a_persistent_policy_learns_for_its_own_draft_cache():
    pair = ModelPair(tiny_model(), disturbed(tiny_model()))
    for cache in (None, "sliding_window:budget=8", "full", ("sliding_window", {"budget": 8})):
        generate(pair, prompt_of(9), "cost_aware", 5, None, draft_cache=cache)
    assert len(pair.state.policies) == 2


def test_a_method_may_be_named_in_several_forms():
    forms = [
        ("streaming_llm", {"budget": 8, "rotate": False}),
        {"method": "streaming_llm", "budget": 8, "rotate": False},
        "streaming_llm:budget=8,rotate=false",
        '{"method": "streaming_llm", "budget": 8, "rotate": false}',
    ]
    made = [find_method(form) for form in forms]
    assert all(one == made[0] for one in made) and find_method(made[0]) is made[0]
    assert find_method(None) is find_method("full") is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"draft_cache": "smallest"}, "unknown compression method 'smallest'"),
        ({"draft_cache": "sliding_window:budget"}, "cannot read the compression"),
        ({"draft_cache": 8}, "cannot read the compression"),
        ({"draft_cache": {"budget": 8}}, "cannot read the compression"),
        ({"draft_cache": "sliding_window:budget=8,skip_layers=7"}, "skip_layers must be a list"),
        ({"draft_cache": ("sliding_window", {"budget": 8, "skip_layers": [7]})}, "names layer 7"),
        ({"target_cache": "sliding_window:budget=8"}, "set every"),
        (
            {"method": "dynatree", "target_cache": ENDLESS_CACHE, "max_new_tokens": 500},
            "but the draft has 128.*give draft_cache",
        ),
        ({"target_cache": "sliding_window:budget=8,every=8", "max_new_tokens": 500}, "but the target has 128"),
        ({"target_cache": "streaming_llm:budget=128,every=8", "max_new_tokens": 500}, "lower budget or every"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(DynatreeError, match=message):
        generate(pair_of("llama"), prompt_of(9), **{"max_new_tokens": 20} | arguments)
