"""Forms of prompts and of numbers."""

import numpy as np
import pytest
import torch

from dynatree import DynatreeError, ModelPair, generate, generate_batch
from dynatree.data.random_model import byte_tokenizer
from dynatree.decoding.prompts import batch_prompts, encode, stop_ids
from tests.support.models import tiny_model

IDS = [74, 75]  # "hi"


@pytest.fixture(scope="module")
def pair():
    return ModelPair(tiny_model(vocabulary=259), None, byte_tokenizer())


@pytest.mark.parametrize(
    "form",
    [
        "hi",
        IDS,
        tuple(IDS),
        [IDS],
        np.array(IDS),
        np.array([IDS], dtype=np.int32),
        list(np.array(IDS)),
        torch.tensor(IDS),
        torch.tensor([IDS], dtype=torch.int16),
        [torch.tensor(token) for token in IDS],
        [torch.tensor(IDS)],
        {"input_ids": IDS, "attention_mask": [1, 1]},
        {"input_ids": [[0, *IDS]], "attention_mask": [[0, 1, 1]]},
        {"input_ids": IDS, "token_type_ids": [0, 0]},
    ],
    ids=repr,
)
def test_every_form_of_a_prompt_is_the_same_prompt(pair, form):
    assert encode(pair, form) == IDS


@pytest.mark.parametrize("tensors", [None, "pt", "np"])
def test_results_of_a_tokenizer_are_prompts(pair, tensors):
    assert encode(pair, pair.tokenizer("hi", return_tensors=tensors)) == IDS
    pair.tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert encode(pair, pair.tokenizer.apply_chat_template([{"role": "user", "content": "hi"}])) == IDS


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ([5.0, 6], "must be whole numbers, not 5.0"),
        (torch.tensor([5.0]), "must be whole numbers, not torch.float32"),
        (np.array([5.5]), "must be whole numbers, not torch.float64"),
        (torch.tensor([True]), "must be whole numbers, not torch.bool"),
        ([True], "must be whole numbers, not True"),
        (np.array(["a"]), "must be whole numbers"),
        (torch.ones(1, 1, 2, dtype=torch.long), r"shape \[n\] or \[1, n\]"),
        ([[5], [6]], "not a batch of 2"),
        (["hi"], "a list of texts is a batch"),
        (5, "text or token ids, not int"),
        (None, "text or token ids, not NoneType"),
        ([], "the prompt is empty"),
        ({"inputs_embeds": torch.ones(1, 2, 48)}, "needs input_ids, but it has inputs_embeds"),
        ({"input_ids": IDS, "position_ids": [3, 4]}, "position_ids would have no effect"),
        ({"input_ids": IDS, "token_type_ids": [0, 1]}, "token_type_ids would have no effect"),
        ({"input_ids": IDS, "attention_mask": [1, 0]}, "hides the last token"),
        ({"input_ids": IDS, "attention_mask": [1, 1, 1]}, "shape of input_ids"),
        ({"input_ids": IDS, "attention_mask": [2, 1]}, "zeros and ones"),
    ],
    ids=repr,
)
def test_other_forms_are_refused(pair, form, message):
    with pytest.raises(DynatreeError, match=message):
        encode(pair, form)


def test_a_batch_comes_in_rows(pair):
    padded = pair.tokenizer(["hi", "hello"], padding=True, padding_side="left", return_tensors="pt")
    texts = [IDS, pair.tokenizer("hello").input_ids]
    for form in (["hi", "hello"], padded, texts, [np.array(row) for row in texts], iter(texts)):
        assert [encode(pair, prompt) for prompt in batch_prompts(form)] == texts
    assert batch_prompts([]) == []
    assert len(generate_batch(pair, padded, "autoregressive", 2)) == 2


@pytest.mark.parametrize("form", ["hi", IDS, torch.tensor(IDS), np.array(IDS), 5], ids=repr)
def test_a_single_prompt_is_no_batch(form):
    with pytest.raises(DynatreeError, match="a batch needs a list of prompts"):
        batch_prompts(form)


def test_a_rendered_chat_gets_one_beginning_of_sequence_token(pair):
    class Tokenizer:
        bos_token, bos_token_id = "<bos>", 1

        def __call__(self, text):
            inner = pair.tokenizer(text)
            inner["input_ids"] = [1, *inner.input_ids]
            return inner

    doubled = ModelPair(pair.target, None, Tokenizer())
    assert encode(doubled, "<bos>hi") == encode(doubled, "hi") == [1, *IDS]
    assert encode(doubled, "<bos><bos>hi") == [1, 1, 1, *IDS], "the text has two of its own"


@pytest.mark.parametrize(
    ("form", "ids"),
    [
        (None, set()),
        (3, {3}),
        (np.int64(3), {3}),
        (torch.tensor(3), {3}),
        (torch.tensor([3, 4]), {3, 4}),
        (np.array([3, 4]), {3, 4}),
        ([np.int32(3), torch.tensor(4)], {3, 4}),
        ({3, 4}, {3, 4}),
        ([], set()),
    ],
    ids=repr,
)
def test_every_form_of_end_of_sequence_ids_works(form, ids):
    assert stop_ids(form) == ids


@pytest.mark.parametrize("form", ["never", 3.0, True, torch.tensor(3.5), [3, "4"], [[3]], {"a": 3}], ids=repr)
def test_other_end_of_sequence_ids_are_refused(form):
    with pytest.raises(DynatreeError, match="eos_token_id must be"):
        stop_ids(form)


def test_numbers_of_numpy_and_torch_are_options(pair):
    plain = {"max_new_tokens": 4, "temperature": 0.5, "seed": 3, "top_k": 9, "top_p": 0.5}
    arrays = {
        "max_new_tokens": np.int64(4),
        "temperature": np.float32(0.5),
        "seed": torch.tensor(3),
        "top_k": np.int16(9),
        "top_p": torch.tensor(0.5),
    }
    assert (
        generate(pair, IDS, "autoregressive", **plain).tokens == generate(pair, IDS, "autoregressive", **arrays).tokens
    )


@pytest.mark.parametrize(
    "options",
    [{"max_new_tokens": 4.0}, {"max_new_tokens": True}, {"seed": 1.0}, {"temperature": True}, {"temperature": "warm"}],
    ids=repr,
)
def test_other_numbers_are_refused(pair, options):
    with pytest.raises(DynatreeError, match=next(iter(options))):
        generate(pair, IDS, "autoregressive", **{"max_new_tokens": 4, "temperature": 1.0} | options)
