"""Hugging Face's ``generate`` with a ``custom_generate`` of this package."""

import copy

import pytest
import torch
from transformers import EosTokenCriteria, MaxLengthCriteria, TextIteratorStreamer, TopKLogitsWarper

from dynatree import DynatreeError, ModelPair, custom_generate, generate
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
    for criterion in (MaxLengthCriteria(9), EosTokenCriteria(stop)):
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repetition_penalty": 1.3}, "RepetitionPenalty"),
        ({"max_time": 5.0}, "MaxTimeCriteria"),
        ({"return_dict_in_generate": True}, "return_dict_in_generate=False"),
        ({"do_sample": True, "num_return_sequences": 2}, "num_return_sequences=1"),
    ],
)
def test_unsupported_arguments_are_rejected(target, settings, message):
    with pytest.raises(DynatreeError, match=message):
        target.generate(PROMPT, custom_generate=custom_generate(), max_new_tokens=4, pad_token_id=0, **settings)
