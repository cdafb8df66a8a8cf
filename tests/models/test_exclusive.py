"""Models in training mode, in several threads, and after a call."""

import gc
import threading
import weakref

import pytest
import torch

from dynatree import ModelPair, custom_generate, generate, generate_batch
from dynatree.models.attention import GROUPED
from dynatree.models.switch import attention_of
from tests.support.models import disturbed, reference, tiny_model

PROMPT = [5, 9, 2]


def training_model():
    model = tiny_model("gpt_neox")
    for layer in model.base_model.layers:
        layer.post_attention_dropout.p = layer.post_mlp_dropout.p = 0.9
    expected = reference(model, PROMPT, 12, None)
    return model.train(), expected


def modes(model) -> list[bool]:
    return [module.training for module in model.modules()]


def test_a_model_in_training_mode_is_evaluated_and_stays_in_training_mode():
    model, expected = training_model()
    draft = disturbed(model).train()
    draft.lm_head.eval() if hasattr(draft, "lm_head") else draft.embed_out.eval()
    before = modes(model), modes(draft)
    pair = ModelPair(model, draft)
    assert (modes(model), modes(draft)) == before
    assert generate(pair, PROMPT, "chain", 12, None).tokens == expected
    assert generate_batch(pair, [PROMPT, [4]], "chain", 12, None)[0].tokens == expected
    settings = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    out = model.generate(torch.tensor([PROMPT]), custom_generate=custom_generate(draft, "chain"), **settings)
    assert out[0, 3:].tolist() == expected
    assert (modes(model), modes(draft)) == before


def test_an_error_or_an_interruption_restores_the_mode():
    model, _ = training_model()

    def stop(tokens, accepted):
        assert not model.training
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(ModelPair(model), PROMPT, "autoregressive", 12, None, on_tokens=stop)
    assert all(modes(model))
    assert generate(ModelPair(model), PROMPT, "autoregressive", 2, None).tokens, "the lock is free again"


def test_threads_with_one_pair_are_exact():
    model = tiny_model()
    pair, prompts = ModelPair(model, disturbed(model)), [[token, 7, token] for token in range(4, 10)]
    expected = [reference(model, prompt, 16, None) for prompt in prompts]
    found = {}

    def work(index: int) -> None:
        method = ("chain", "cost_aware", "dynatree")[index % 3]
        found[index] = generate(pair, prompts[index], method, 16, None).tokens

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[index] for index in range(len(prompts))] == expected


def test_a_second_thread_waits_until_the_models_are_free():
    model = tiny_model()
    inside, finished, order = threading.Event(), threading.Event(), []

    def slow(tokens, accepted):
        inside.set()
        finished.wait(0.2)
        order.append("first")

    first = threading.Thread(
        target=lambda: generate(ModelPair(model), PROMPT, "autoregressive", 2, None, on_tokens=slow)
    )
    first.start()
    inside.wait()
    generate(
        ModelPair(tiny_model(seed=1), model), PROMPT, "chain", 2, None, on_tokens=lambda *_: order.append("second")
    )
    first.join()
    assert order[:2] == ["first", "first"], "another pair with the same model waits, too"


def test_a_callback_may_decode_with_the_same_pair():
    pair, inner = ModelPair(tiny_model()), []

    def again(tokens, accepted):
        if not inner:
            inner.extend(generate(pair, [4], "autoregressive", 3, None).tokens)

    generate(pair, PROMPT, "autoregressive", 3, None, on_tokens=again)
    assert inner == reference(pair.target, [4], 3, None)


def test_other_threads_see_the_attention_of_the_model():
    model, seen = tiny_model(), []
    kind, written = type(model.config), model.config.to_dict()
    with attention_of(model):
        assert model.config._attn_implementation == GROUPED
        thread = threading.Thread(target=lambda: seen.append(model.config._attn_implementation))
        thread.start()
        thread.join()
        with attention_of(model):
            assert model.config._attn_implementation == GROUPED
        assert isinstance(model.config, kind) and model.config.to_dict() == written
    assert seen == ["sdpa"] == [model.config._attn_implementation]
    assert type(model.config) is kind


def test_custom_generate_keeps_no_model():
    model = tiny_model()
    how, settings = custom_generate(), {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    for _ in range(2):
        model.generate(torch.tensor([PROMPT]), custom_generate=how, **settings)
    kept = weakref.ref(model)
    del model
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
def test_the_default_number_format_changes_nothing(default):
    model = tiny_model()
    pair, options = ModelPair(model, disturbed(model)), {"temperature": 0.8, "seed": 3}
    plain, drawn = (generate(pair, PROMPT, "chain", 12, None, **how).tokens for how in ({}, options))
    torch.set_default_dtype(default)
    try:
        assert generate(pair, PROMPT, "chain", 12, None).tokens == plain
        assert generate(pair, PROMPT, "chain", 12, None, **options).tokens == drawn
        assert torch.get_default_dtype() == default
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_default_device_changes_nothing():
    pair = ModelPair(tiny_model(), disturbed(tiny_model()))
    expected = generate(pair, PROMPT, "chain", 12, None).tokens
    with torch.device("meta"):
        assert generate(pair, PROMPT, "chain", 12, None).tokens == expected
