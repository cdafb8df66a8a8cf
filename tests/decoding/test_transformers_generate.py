"""Hugging Face's ``generate`` with a ``custom_generate`` of this package."""

import copy

import pytest
import torch
from transformers import (
    DynamicCache,
    EosTokenCriteria,
    MaxLengthCriteria,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TextIteratorStreamer,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from dynatree import DynatreeError, ModelPair, TreeCache, custom_generate, generate
from dynatree.data.random_model import byte_tokenizer
from tests.support.models import disturbed, tiny_model

PROMPT = torch.tensor([[5, 9, 2, 7]])


@pytest.fixture(scope="module", params=["llama", "gpt_neox"])
def target(request):
    return tiny_model(request.param, 1)


@pytest.mark.parametrize("method", ["cost_aware", "dynatree", "autoregressive"])
def test_greedy_output_is_that_of_hugging_face(target, method):
    how = custom_generate(None if method == "autoregressive" else disturbed(target, 0.05), method)
    settings = {"max_new_tokens": 20, "do_sample": False, "pad_token_id": 0}
    expected = target.generate(PROMPT, **settings)
    assert torch.equal(target.generate(PROMPT, custom_generate=how, **settings), expected)


def test_left_padding_of_a_batch_is_skipped(target):
    batch = torch.tensor([[0, 0, 5, 9], [3, 8, 2, 7]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    settings = {"attention_mask": mask, "max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    expected = target.generate(batch, **settings)
    assert torch.equal(target.generate(batch, custom_generate=custom_generate(), **settings), expected)


def test_sampling_follows_the_seed_of_torch(target):
    how = custom_generate(disturbed(target, 0.05))
    settings = {"max_new_tokens": 12, "do_sample": True, "temperature": 0.9, "top_k": 20, "pad_token_id": 0}
    settings["eos_token_id"] = None
    torch.manual_seed(4)
    first = target.generate(PROMPT, custom_generate=how, **settings)
    torch.manual_seed(4)
    seed = int(torch.randint(2**62, ()))
    pair = ModelPair(target)
    expected = generate(
        pair, PROMPT, "autoregressive", 12, eos_token_id=None, temperature=0.9, top_k=20, seed=seed
    ).tokens
    assert first[0, 4:].tolist() == expected
    assert first.tolist() != target.generate(PROMPT, custom_generate=how, **settings).tolist()


def test_a_streamer_does_not_follow_a_batch(target):
    with pytest.raises(DynatreeError, match="not a batch of 2"):
        target.generate(
            PROMPT.repeat(2, 1), custom_generate=custom_generate(streamer=object()), max_new_tokens=4, pad_token_id=0
        )


class Streamer:
    """Keeps what it receives."""

    def __init__(self):
        self.tokens, self.ended = [], False

    def put(self, value):
        self.tokens += value.flatten().tolist()

    def end(self):
        self.ended = True


@pytest.mark.parametrize("place", ["custom_generate", "generate"])
def test_the_streamer_receives_the_tokens_of_hugging_face(target, place):
    streamer = Streamer()
    ours = {"streamer": streamer} if place == "custom_generate" else {}
    theirs = {"streamer": streamer} if place == "generate" else {}
    settings = {"max_new_tokens": 10, "do_sample": False, "pad_token_id": 0}
    out = target.generate(PROMPT, custom_generate=custom_generate(**ours), **settings, **theirs)
    expected = Streamer()
    target.generate(PROMPT, streamer=expected, **settings)
    assert streamer.tokens == expected.tokens == out[0].tolist()
    assert streamer.ended


def test_two_streamers_are_refused(target):
    with pytest.raises(DynatreeError, match="not to both"):
        target.generate(
            PROMPT, streamer=Streamer(), custom_generate=custom_generate(streamer=Streamer()), max_new_tokens=4
        )


def test_an_iterating_reader_gets_the_text_and_its_end(target):
    tokenizer = byte_tokenizer()
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=10)
    out = target.generate(
        PROMPT, streamer=streamer, custom_generate=custom_generate(), max_new_tokens=10, do_sample=False, pad_token_id=0
    )
    assert "".join(streamer) == tokenizer.decode(out[0, PROMPT.shape[1] :])


def test_rows_that_end_early_are_padded_as_hugging_face_does(target):
    target = copy.deepcopy(target)
    target.generation_config.pad_token_id = None
    batch = torch.tensor([[5, 9, 2, 7], [3, 8, 2, 7]])
    plain = target.generate(batch, max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=None)
    settings = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": int(plain[0, 7])}
    settings["attention_mask"] = torch.ones_like(batch)
    expected = target.generate(batch, **settings)
    assert (expected[0] == settings["eos_token_id"]).sum() > 1
    assert torch.equal(target.generate(batch, custom_generate=custom_generate(), **settings), expected)


def test_stopping_criteria_of_the_caller_apply(target):
    settings = {"max_new_tokens": 20, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    stop = int(target.generate(PROMPT, **settings)[0, 8])
    for criterion in (MaxLengthCriteria(9), MaxLengthCriteria(3), EosTokenCriteria(stop)):
        expected = target.generate(PROMPT, stopping_criteria=[criterion], **settings)
        assert expected.shape[1] < 24
        found = target.generate(PROMPT, custom_generate=custom_generate(), stopping_criteria=[criterion], **settings)
        assert torch.equal(found, expected)


def test_logits_processors_of_the_caller_apply(target):
    settings = {"max_new_tokens": 20, "do_sample": True, "top_k": 0, "pad_token_id": 0, "eos_token_id": None}
    first = target.generate(PROMPT, max_new_tokens=20, do_sample=False, pad_token_id=0, eos_token_id=None)
    drawn = target.generate(
        PROMPT, custom_generate=custom_generate(), logits_processor=[TopKLogitsWarper(1)], **settings
    )
    assert torch.equal(drawn, first), "of one token there is one draw"


def filled_cache(model, tokens=2):
    cache = DynamicCache(config=model.config)
    model(torch.ones(1, tokens, dtype=torch.int64), past_key_values=cache)
    return cache


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            lambda m: {"past_key_values": filled_cache(m), "attention_mask": torch.ones(1, 6)},
            "complete text; pass",
        ),
        (lambda m: {"past_key_values": filled_cache(m, 4)}, "holds 4 entries, and the prompt must be longer than"),
        (lambda m: {"past_key_values": TreeCache(2, 32)}, "the given TreeCache"),
        (lambda m: {"cache_implementation": "static"}, "the given StaticCache"),
        (lambda m: {"inputs_embeds": m.get_input_embeddings()(PROMPT)}, "the argument inputs_embeds of generate"),
        (lambda m: {"position_ids": torch.tensor([[0, 1, 7, 8]])}, "counts positions from 0"),
        (lambda m: {"attention_mask": torch.tensor([[1, 1, 1, 0]])}, "hides the last token"),
        (lambda m: {"assistant_model": tiny_model()}, "assistant_model of generate; leave it out; custom_generate tak"),
        (lambda m: {"prompt_lookup_num_tokens": 3}, "prompt_lookup_num_tokens=0"),
        (lambda m: {"output_hidden_states": True}, "the argument output_hidden_states of generate"),
        (lambda m: {"labels": PROMPT}, "the argument labels of generate"),
        (lambda m: {"num_beams": 2}, "num_beams=1"),
        (lambda m: {"guidance_scale": 1.5}, "does not apply the logits processor UnbatchedClassifierFreeGuidance"),
        (lambda m: {"penalty_alpha": 0.6, "top_k": 4}, "penalty_alpha=0"),
        (lambda m: {"dola_layers": "low"}, "dola_layers=None"),
    ],
)
def test_no_input_is_dropped(target, inputs, message):
    with pytest.raises(DynatreeError, match=message):
        target.generate(
            PROMPT,
            custom_generate=custom_generate(),
            max_new_tokens=4,
            do_sample=False,
            pad_token_id=0,
            **inputs(target),
        )


def test_embeddings_alone_are_refused(target):
    embeddings = target.get_input_embeddings()(PROMPT)
    with pytest.raises(DynatreeError, match="inputs_embeds"):
        target.generate(inputs_embeds=embeddings, custom_generate=custom_generate(), max_new_tokens=4, pad_token_id=0)


def test_inputs_that_change_nothing_are_accepted(target):
    settings = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    expected = target.generate(PROMPT, **settings)
    for same in (
        {"position_ids": torch.arange(4)[None]},
        {"use_cache": False},
        {"attention_mask": PROMPT.ne(0).long()},
    ):
        assert torch.equal(target.generate(PROMPT, custom_generate=custom_generate(), **settings, **same), expected)
    holes = {"attention_mask": torch.tensor([[0, 1, 0, 1]])}
    expected = target.generate(PROMPT, **settings, **holes)
    assert torch.equal(target.generate(PROMPT, custom_generate=custom_generate(), **settings, **holes), expected)


@pytest.mark.parametrize(
    "warpers",
    [
        [TopPLogitsWarper(0.5), TemperatureLogitsWarper(4.0)],
        [TopPLogitsWarper(0.1, min_tokens_to_keep=6)],
        [TopPLogitsWarper(0.0)],
        [TopKLogitsWarper(5), TopKLogitsWarper(3)],
        [MinPLogitsWarper(0.2), TypicalLogitsWarper(0.7)],
        [],
    ],
    ids=["order", "min_tokens_to_keep", "top_p=0", "twice", "other", "none"],
)
def test_warpers_of_the_caller_give_the_distribution_of_hugging_face(target, warpers):
    settings = {"max_new_tokens": 1, "do_sample": True, "top_k": 0, "pad_token_id": 0, "logits_processor": warpers}
    settings["return_dict_in_generate"] = settings["output_scores"] = True
    scores = target.generate(PROMPT, **settings).scores[0]
    del settings["return_dict_in_generate"], settings["output_scores"]
    how = custom_generate(method="autoregressive")
    drawn = target.generate(PROMPT.repeat(400, 1), custom_generate=how, **settings)[:, 4]
    shares = torch.bincount(drawn, minlength=scores.shape[1]) / len(drawn)
    expected = scores[0].softmax(0)
    assert set(drawn.tolist()) <= set(expected.nonzero().flatten().tolist())
    assert (shares - expected).abs().max() < 0.1


def test_all_methods_draw_the_same_with_warpers(target):
    settings = {"max_new_tokens": 12, "do_sample": True, "top_k": 9, "min_p": 0.05, "pad_token_id": 0}
    draft, drawn = disturbed(target, 0.05), []
    for method in ("autoregressive", "chain", "cost_aware"):
        torch.manual_seed(4)
        drawn.append(target.generate(PROMPT, custom_generate=custom_generate(draft, method), **settings).tolist())
    assert drawn[0] == drawn[1] == drawn[2]


@pytest.mark.parametrize("kind", ["gpt_neox", "llama"])
def test_vocabularies_may_be_padded_differently(kind):
    target, draft = tiny_model(kind, vocabulary=320), tiny_model(kind, vocabulary=272)
    settings = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    expected = target.generate(PROMPT, **settings)
    for tokenizer in (None, byte_tokenizer()):
        how = custom_generate(draft, "chain", tokenizer=tokenizer)
        assert torch.equal(target.generate(PROMPT, custom_generate=how, **settings), expected)
    with pytest.raises(DynatreeError, match="the draft has 150 tokens"):
        target.generate(PROMPT, custom_generate=custom_generate(tiny_model(kind, vocabulary=150)), **settings)
