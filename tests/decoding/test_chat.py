"""Conversations: the template's tokens, and the end of a turn."""

import copy

import pytest

from dynatree import DynatreeError, ModelPair, generate
from dynatree.data.random_model import byte_tokenizer
from dynatree.decoding.chat import chat_prompt, chat_stops, end_of_turn_ids
from tests.support.models import disturbed, tiny_model

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


@pytest.fixture(scope="module")
def pair(tokenizer):
    target = tiny_model(vocabulary=len(tokenizer))
    return ModelPair(target, disturbed(target), tokenizer)


def test_messages_are_the_prompt_that_the_template_renders(pair, tokenizer):
    text = "<|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|>"
    expected = tokenizer(text, add_special_tokens=False).input_ids
    assert chat_prompt(tokenizer, MESSAGES) == expected
    assert (
        generate(pair, messages=MESSAGES, max_new_tokens=8).tokens == generate(pair, expected, max_new_tokens=8).tokens
    )


def test_the_token_after_a_turn_ends_the_output(pair, tokenizer):
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    assert end_of_turn_ids(tokenizer) == {end}
    assert chat_stops(pair, "auto") == {end, pair.eos_token_id}
    assert chat_stops(pair, None) is None
    ending = copy.deepcopy(pair.target)
    ending.generation_config.suppress_tokens = [one for one in range(len(tokenizer)) if one != end]
    assert generate(ModelPair(ending, None, tokenizer), messages=MESSAGES, max_new_tokens=8).tokens == [end]
    assert len(generate(ModelPair(ending, None, tokenizer), "Hi", max_new_tokens=8).tokens) == 8


def test_a_template_without_an_end_of_turn_adds_no_stop(tokenizer):
    plain = copy.deepcopy(tokenizer)
    plain.chat_template = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    assert end_of_turn_ids(plain) == frozenset()
    plain.chat_template = "{{ raise_exception('no assistants') }}"
    assert end_of_turn_ids(plain) == frozenset()
    with pytest.raises(DynatreeError, match="template rejects the messages: no assistants"):
        chat_prompt(plain, MESSAGES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": "Hi", "messages": MESSAGES}, "not both"),
        ({}, "needs a prompt or messages"),
        ({"messages": []}, "messages is empty"),
    ],
)
def test_a_request_has_one_prompt(pair, arguments, message):
    with pytest.raises(DynatreeError, match=message):
        generate(pair, **arguments)


def test_a_tokenizer_without_a_template_is_an_error():
    with pytest.raises(DynatreeError, match="has no chat template"):
        generate(ModelPair(tiny_model(vocabulary=260), None, byte_tokenizer()), messages=MESSAGES)
