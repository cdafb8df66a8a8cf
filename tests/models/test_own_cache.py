"""Caches of this package in the hands of transformers."""

import copy

import pytest
import torch

import dynatree.models.batch_cache
import dynatree.models.kv_cache
from dynatree import DynatreeError, ModelPair, TreeCache, generate, generate_batch
from dynatree.kvcompress import METHODS, CompressedCache, compress
from dynatree.kvcompress.registry import make_method
from dynatree.kvcompress.tree_cache import CompressedTreeCache
from dynatree.models.batch_cache import BatchCache
from tests.support.models import disturbed, reference, tiny_model

PROMPT = torch.tensor([[5, 9, 2, 7, 11, 3, 5, 9, 2]])
SETTINGS = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
REFUSED = {
    "crop": (-1,),
    "reorder_cache": (torch.tensor([0]),),
    "batch_repeat_interleave": (2,),
    "batch_select_indices": (torch.tensor([0]),),
}


@pytest.mark.parametrize("method", REFUSED)
def test_methods_that_move_entries_are_refused(method):
    model = tiny_model()
    caches = [
        TreeCache(2, 64),
        BatchCache(2, 1, 64),
        CompressedCache(model, "sliding_window", budget=6),
        CompressedTreeCache(model, make_method("sliding_window", budget=6), 64, 4),
    ]
    for cache in caches:
        with pytest.raises(DynatreeError, match=rf"does not support {method}\(\)"):
            getattr(cache, method)(*REFUSED[method])
        with pytest.raises(DynatreeError, match=r"does not support offload\(\)"):
            cache.layers[0].offload()
        with pytest.raises(DynatreeError, match=r"does not support prefetch\(\)"):
            cache.layers[0].prefetch()


OPTIONS = {"full": {}, "l2_norm": {"keep_ratio": 0.5}, "l2_norm_recent": {"recent": 2}, "snapkv": {"window": 2}}


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"head_aware"}))
@pytest.mark.parametrize("assisted", ["prompt_lookup_num_tokens", "assistant_model"])
def test_assisted_generation_with_a_compressed_cache_is_refused(method, assisted):
    model = tiny_model()
    options = OPTIONS.get(method, {}) | ({} if method in ("full", "l2_norm") else {"budget": 8})
    how = {assisted: 3 if assisted == "prompt_lookup_num_tokens" else disturbed(model)}
    with pytest.raises(DynatreeError, match=r"crop\(\), which assisted"), compress(model, method, **options):
        model.generate(PROMPT, **SETTINGS, **how)


@pytest.mark.parametrize(
    "how", [{"prompt_lookup_num_tokens": 3}, {"num_beams": 2}, {"do_sample": True, "num_return_sequences": 2}], ids=repr
)
def test_a_tree_cache_serves_one_sequence_or_is_refused(how):
    model = tiny_model()
    expected = model.generate(PROMPT, **SETTINGS)
    cache = TreeCache(2, 64)
    assert torch.equal(model.generate(PROMPT, past_key_values=cache, **SETTINGS), expected)
    cache.reset()
    assert torch.equal(model.generate(PROMPT, past_key_values=cache, **SETTINGS), expected), "a reset cache is empty"
    if "num_return_sequences" not in how:
        with pytest.raises(DynatreeError):
            model.generate(PROMPT, past_key_values=TreeCache(2, 64), **SETTINGS | how)


def test_a_copied_cache_continues_alone():
    model = tiny_model()
    cache = TreeCache(2, 64)
    longer = torch.cat((model.generate(PROMPT, past_key_values=cache, **SETTINGS), PROMPT), dim=1)
    settings = SETTINGS | {"attention_mask": torch.ones_like(longer)}
    twin = copy.deepcopy(cache)
    expected = model.generate(longer, **settings)
    for one in (cache, twin):
        assert torch.equal(model.generate(longer, past_key_values=one, **settings), expected)
    assert cache.buffer.data_ptr() != twin.buffer.data_ptr()
    assert copy.deepcopy(TreeCache(2, 64)).length == 0
    with pytest.raises(DynatreeError, match="cannot be copied"):
        copy.deepcopy(CompressedTreeCache(model, make_method("sliding_window", budget=6), 64, 4))


def test_memory_follows_the_text_and_not_its_limit():
    model = tiny_model(positions=1_000_000)
    pair = ModelPair(model, disturbed(model))
    stop = reference(model, [5, 9], 4, None)[-1]
    for out in (
        generate(pair, [5, 9], "chain", 900_000, stop),
        *generate_batch(pair, [[5, 9], [5, 9]], "chain", 900_000, stop),
    ):
        assert len(out.tokens) <= 4
        assert all(cache["bytes"] < 2**20 for cache in out.stats.caches.values())


@pytest.mark.parametrize("method", ["chain", "fixed_tree", "cost_aware"])
def test_a_cache_that_grows_keeps_its_entries(method, monkeypatch):
    for module in (dynatree.models.kv_cache, dynatree.models.batch_cache):
        monkeypatch.setattr(module, "HEADROOM", 1)
    model = tiny_model()
    pair, prompts = ModelPair(model, disturbed(model)), [[5, 9, 2], [4]]
    expected = [reference(model, prompt, 24, None) for prompt in prompts]
    assert [generate(pair, prompt, method, 24, None).tokens for prompt in prompts] == expected
    assert [out.tokens for out in generate_batch(pair, prompts, method, 24, None)] == expected
