"""``compress`` around Hugging Face's ``generate``, and caches that are passed in."""

import threading

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel, DynamicCache

from dynatree.errors import DynatreeError
from dynatree.kvcompress import CompressedCache, compress, make_method
from tests.support.models import reference, tiny_model
from tests.support.replay_methods import ENDLESS, KINDS, classification, text

PROMPT = text(20)
UNIFORM = {
    "l2_norm": {"keep_ratio": 0.5},
    "l2_norm_recent": {"budget": 12, "recent": 4},
    "sliding_window": {"budget": 12},
    "streaming_llm": {"budget": 12, "rotate": False},
}
GUIDED = {
    "streaming_llm": {"budget": 12},
    "snapkv": {"budget": 12, "window": 4, "when": "both"},
    "h2o": {"budget": 12, "recent": 4},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["full", "streaming_llm", "h2o"])
def test_without_eviction_it_is_plain_generate(kind, method):
    model = tiny_model(kind)
    options = {} if method == "full" else {"budget": 60}
    with compress(model, method, **options):
        out = model.generate(PROMPT, max_new_tokens=30, **ENDLESS)
    assert out[0, 20:].tolist() == reference(model, PROMPT[0].tolist(), 30, eos_token_id=None)


def test_sampling_without_eviction_is_plain_sampling():
    model, settings = tiny_model(), {"max_new_tokens": 20, "do_sample": True, "pad_token_id": 0, "top_k": 10}
    torch.manual_seed(1)
    plain = model.generate(PROMPT, **settings)
    torch.manual_seed(1)
    with compress(model, "full"):
        assert model.generate(PROMPT, **settings).equal(plain)


@pytest.mark.parametrize("kind", KINDS)
def test_four_times_the_positions_at_constant_size(kind):
    model = tiny_model(kind, positions=32)
    positions, sizes = [], []

    def watch(module, args, inputs):
        positions.append(inputs["position_ids"].max().item())
        if compression.cache.seen > 16:
            sizes.append(compression.cache.bytes())

    with compress(model, "streaming_llm", sinks=4, window=12) as compression:
        hook = model.base_model.register_forward_pre_hook(watch, with_kwargs=True)
        out = model.generate(PROMPT, max_new_tokens=128, output_logits=True, return_dict_in_generate=True, **ENDLESS)
        hook.remove()
    assert torch.stack(out.logits).isfinite().all()
    assert max(positions) < 32
    assert len(set(sizes)) == 1 and len(sizes) == 127
    assert compression.cache.seen == 147
    assert compression.cache.kept[0][0].tolist() == [0, 1, 2, 3, *range(135, 147)]


@pytest.mark.parametrize("method", UNIFORM)
@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_that_is_passed_works_with_the_models_own_attention(kind, method):
    model = tiny_model(kind)
    cache = CompressedCache(model, method, **UNIFORM[method])
    plain = model.generate(PROMPT, past_key_values=cache, max_new_tokens=20, **ENDLESS)
    longer = torch.cat((plain, text(7, seed=3)), dim=1)
    whole = ENDLESS | {"attention_mask": torch.ones_like(longer)}  # or generated tokens may be taken for padding
    with compress(model, method, **UNIFORM[method]) as compression:
        assert model.generate(PROMPT, max_new_tokens=20, **ENDLESS).equal(plain)
        again = model.generate(longer, past_key_values=compression.cache, max_new_tokens=5, **whole)
    assert model.generate(longer, past_key_values=cache, max_new_tokens=5, **whole).equal(again)
    assert cache.entries == compression.cache.entries
    assert all(mine.equal(its) for mine, its in zip(cache.kept[1], compression.cache.kept[1], strict=True))


def test_a_prompt_may_come_in_chunks():
    model = tiny_model()
    with compress(model, "streaming_llm", budget=12) as compression:
        out = model.generate(PROMPT, prefill_chunk_size=6, max_new_tokens=4, **ENDLESS)
    assert out.shape == (1, 24)
    assert compression.cache.entries == [[12, 12]] * 2
    assert compression.cache.kept[0][0].tolist() == [0, 1, 2, 3, *range(15, 23)]


def test_each_request_has_a_cache_of_its_own():
    model = tiny_model()
    with compress(model, "sliding_window", budget=8) as compression:
        first = model.generate(PROMPT, max_new_tokens=6, **ENDLESS)
        cache = compression.cache
        assert model.generate(PROMPT, max_new_tokens=6, **ENDLESS).equal(first)
        assert compression.cache is not cache


def test_memory_is_that_of_the_tensors(tmp_path):
    model = tiny_model()  # two layers, two key/value heads of eight dimensions
    row = 2 * 8 * 4
    with compress(model, "full") as compression:
        model.generate(PROMPT, max_new_tokens=11, **ENDLESS)
    assert compression.cache.bytes() == 2 * (30 * 2 * row + 30 * 8)
    with compress(model, "sliding_window", budget=10) as compression:
        model.generate(PROMPT, max_new_tokens=11, **ENDLESS)
    assert compression.cache.bytes() == 2 * (10 * 2 * row + 10 * 8)
    file = classification(tmp_path / "heads.json", model, lambda layer, head: 4 if head < 3 else 20)
    with compress(model, "head_aware", classification=file, sinks=1) as compression:
        model.generate(PROMPT, max_new_tokens=11, **ENDLESS)
    assert compression.cache.entries == [[5, 21]] * 2
    assert compression.cache.bytes() == 2 * ((5 + 21) * row + 2 * 21 * 8)


def test_the_block_restores_the_model():
    model = tiny_model()
    before = model.config._attn_implementation
    with compress(model, "full"):
        assert model.config._attn_implementation != before
    with pytest.raises(DynatreeError), compress(model, "full"):
        model(PROMPT.repeat(2, 1))
    assert model.config._attn_implementation == before
    assert not model.base_model._forward_pre_hooks
    assert not model.base_model._forward_hooks
    expected = reference(model, PROMPT[0].tolist(), 5, eos_token_id=None)
    assert model.generate(PROMPT, max_new_tokens=5, **ENDLESS)[0, 20:].tolist() == expected


@pytest.mark.parametrize(
    ("prompt", "settings", "message"),
    [
        (PROMPT.repeat(2, 1), {}, "one sequence at a time, not a batch of 2"),
        (PROMPT, {"num_beams": 2}, "one sequence at a time, not a batch of 2"),
        (PROMPT, {"use_cache": False}, "use_cache=False leaves nothing to compress"),
        (PROMPT, {"attention_mask": torch.tensor([[0] * 3 + [1] * 17])}, "takes no padding"),
        (PROMPT, {"cache_implementation": "static"}, "not a StaticCache with 0 tokens; leave out"),
    ],
)
def test_unsupported_arguments_of_generate_are_refused(prompt, settings, message):
    with pytest.raises(DynatreeError, match=message), compress(tiny_model(), "sliding_window", budget=8) as compression:
        compression.model.generate(prompt, max_new_tokens=4, **ENDLESS, **settings)


def test_unsupported_arguments_of_a_pass_are_refused():
    model = tiny_model()
    used = DynamicCache()
    model(PROMPT, past_key_values=used)
    with compress(model, "full"):
        with pytest.raises(DynatreeError, match="not a DynamicCache with 20 tokens"):
            model(PROMPT, past_key_values=used)
        with pytest.raises(DynatreeError, match="takes none of four dimensions"):
            model(PROMPT, attention_mask=torch.ones(1, 1, 20, 20, dtype=torch.bool))
        with pytest.raises(DynatreeError, match="inside compress"), compress(model, "full"):
            model(PROMPT)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("h2o", {"budget": 8}, "H2O needs attention scores, .* run the model inside `with"),
        ("snapkv", {"budget": 40}, "SnapKV needs attention scores"),
        ("streaming_llm", {"budget": 8}, "rotate=True sets the positions of new tokens; .* or set rotate=False"),
    ],
)
def test_methods_that_need_the_context_are_refused_outside_it(method, options, message):
    model = tiny_model()
    with pytest.raises(DynatreeError, match=message):
        model.generate(PROMPT, past_key_values=CompressedCache(model, method, **options), max_new_tokens=4, **ENDLESS)


def test_a_cache_that_leaves_the_context_is_checked_again():
    model = tiny_model()
    with compress(model, "streaming_llm", budget=8) as compression:
        model(PROMPT)
    with pytest.raises(DynatreeError, match="rotate=True sets the positions of new tokens"):
        model(PROMPT, past_key_values=compression.cache)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("method", "options"), [*UNIFORM.items(), *GUIDED.items()], ids=str)
def test_half_precision_is_stored_in_half_precision(method, options, dtype):
    model = tiny_model().to(dtype)
    with compress(model, method, **options) as compression:
        model.generate(PROMPT, max_new_tokens=4, **ENDLESS)
    assert {layer.keys.dtype for layer in compression.cache.layers} == {dtype}


def test_ragged_heads_and_uneven_layers_need_the_context(tmp_path):
    model = tiny_model()
    file = classification(tmp_path / "heads.json", model, lambda layer, head: 4)
    with pytest.raises(DynatreeError, match="keeps heads of different length"):
        model(PROMPT, past_key_values=CompressedCache(model, "head_aware", classification=file))
    uneven = CompressedCache(model, "sliding_window", budget=8, skip_layers=[0])
    model(PROMPT, past_key_values=uneven)
    model(text(1), past_key_values=uneven)
    with pytest.raises(DynatreeError, match="layers hold different numbers of entries"):
        model(text(2), past_key_values=uneven)
    model.set_attn_implementation("eager")
    with pytest.raises(DynatreeError, match="layers hold different numbers of entries"):
        model(text(1), past_key_values=uneven)


def test_a_batch_is_refused_by_a_cache_that_is_passed():
    model = tiny_model()
    with pytest.raises(DynatreeError, match="one sequence, not a batch of 2"):
        model(PROMPT.repeat(2, 1), past_key_values=CompressedCache(model, "full"))


def test_compressing_without_observed_attention_is_refused():
    model = tiny_model()
    with compress(model, "snapkv", budget=8, window=4) as compression:
        model.generate(PROMPT, max_new_tokens=4, **ENDLESS)
        with pytest.raises(DynatreeError, match="SnapKV has observed no attention since"):
            compression.cache.compress()


def test_other_architectures_are_refused():
    model = BertLMHeadModel(BertConfig(num_hidden_layers=1, hidden_size=24, vocab_size=16))
    with pytest.raises(DynatreeError, match="the model is a 'bert' model"), compress(model, "full"):
        pass


def test_a_cache_can_be_emptied():
    model = tiny_model()
    cache = CompressedCache(model, "sliding_window", budget=8)
    first = model(PROMPT, past_key_values=cache).logits
    cache.reset()
    cache.compress()
    assert cache.bytes() == 0 and cache.seen == 0
    assert cache.kept == [[]] * len(cache.layers)
    assert model(PROMPT, past_key_values=cache).logits.equal(first)


def test_methods_can_be_given_as_objects():
    model, method = tiny_model(), make_method("sliding_window", budget=8)
    with compress(model, method) as compression:
        model(PROMPT)
    assert compression.cache.method is method


def test_positions_that_a_method_replaces_must_be_those_of_the_text():
    model = tiny_model()
    with compress(model, "streaming_llm", budget=12):
        model(PROMPT, position_ids=torch.arange(20)[None])
        with pytest.raises(DynatreeError, match="rotate=True sets the positions of all tokens"):
            model(PROMPT, position_ids=torch.arange(5, 25)[None])


def test_inputs_may_be_positional():
    model = tiny_model()
    with compress(model, "sliding_window", budget=8) as compression:
        model.base_model(PROMPT, None, None, None)
        model.base_model(text(1), None, None, compression.cache)
    assert compression.cache.seen == 21
    with pytest.raises(DynatreeError, match="leave out output_attentions"), compress(model, "full"):
        model(PROMPT, output_attentions=True)


def test_threads_that_ran_before_use_the_model_as_it_is_and_later_ones_are_refused():
    model, found = tiny_model(), {}
    expected = reference(model, PROMPT[0].tolist(), 6, eos_token_id=None)
    begun = threading.Event()

    def work(name, ready):
        ready.wait()
        try:
            found[name] = model.generate(PROMPT, max_new_tokens=6, **ENDLESS)[0, 20:].tolist()
        except DynatreeError as error:
            found[name] = str(error)

    earlier = threading.Thread(target=work, args=("earlier", begun))
    earlier.start()
    with compress(model, "sliding_window", budget=4) as compression:
        inside = model.generate(PROMPT, max_new_tokens=3, **ENDLESS)
        begun.set()
        later = threading.Thread(target=work, args=("later", begun))
        later.start()
        for thread in (earlier, later):
            thread.join()
        kept = compression.cache
        model.generate(inside, past_key_values=kept, max_new_tokens=3, **ENDLESS)
    assert found["earlier"] == expected
    assert "enter compress() in the thread that runs the model" in found["later"]
    assert kept.entries == [[4, 4]] * 2


def test_dropout_of_attention_is_not_dropped():
    model = tiny_model("gpt_neox").train()
    for layer in model.base_model.layers:
        layer.attention.attention_dropout = 0.5
    with pytest.raises(DynatreeError, match=r"call model\.eval"), compress(model, "full"):
        model(PROMPT)
