"""Streamed text is the text of all tokens, for every kind of tokenizer and every division into pieces."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from dynatree.data.random_model import byte_tokenizer
from dynatree.decoding import text_stream
from dynatree.decoding.text_stream import TextStream

WORDS = [
    "<s>",
    "▁",
    "▁the",
    "▁light",
    "house",
    "▁keeper",
    ".",
    "▁.",
    "é",
    "e",
    "\u0301",
    "שלום",
    "\u200d",
    "▁'",
    "▁n't",
]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def sentencepiece() -> PreTrainedTokenizerFast:
    """A tokenizer that decodes as that of Llama 2."""
    vocabulary = {word: index for index, word in enumerate(WORDS + BYTES)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>")


def wordpiece() -> PreTrainedTokenizerFast:
    """A tokenizer that removes spaces in front of punctuation."""
    words = ["[UNK]", "light", "##house", ".", ",", "'", "s", "n't", "'re", "do", "?"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", clean_up_tokenization_spaces=True)


TOKENIZERS = {"sentencepiece": sentencepiece(), "bytes": byte_tokenizer(), "wordpiece": wordpiece()}


def streamed(tokenizer, tokens: list[int], seed: int = 0) -> str:
    """Stream the tokens in pieces of random lengths."""
    rng, stream, text, start = random.Random(seed), TextStream(tokenizer), "", 0
    while start < len(tokens):
        end = start + rng.randint(1, 4)
        text += stream.add(tokens[start:end])
        start = end
    return text + stream.finish(tokenizer.decode(tokens, skip_special_tokens=True))


def test_spaces_of_sentencepiece_are_kept():
    tokens = [WORDS.index(word) for word in ("▁the", "▁light", "house", "▁keeper")]
    stream = TextStream(TOKENIZERS["sentencepiece"])
    assert [stream.add([token]) for token in tokens] == ["the", " light", "house", " keeper"]


@pytest.mark.parametrize("name", ["sentencepiece", "bytes"])
@pytest.mark.parametrize("end", [1, 2, 3, 4])
def test_a_character_is_held_back_until_it_is_complete(name, end):
    tokenizer = TOKENIZERS[name]
    emoji = "🙂".encode()
    tokens = [tokenizer.convert_tokens_to_ids(BYTES[byte]) for byte in emoji]
    if name == "bytes":
        tokens = tokenizer("🙂", add_special_tokens=False).input_ids
    stream = TextStream(tokenizer)
    assert [stream.add([token]) for token in tokens[:3]] == ["", "", ""]
    assert streamed(tokenizer, tokens[:end]) == tokenizer.decode(tokens[:end])


@pytest.mark.parametrize("name", TOKENIZERS)
@given(data=st.data())
def test_any_tokens_give_the_text_of_all(name, data):
    tokenizer = TOKENIZERS[name]
    tokens = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=60))
    stream, text = TextStream(tokenizer), ""
    for token in tokens:
        text += stream.add([token])
    whole = tokenizer.decode(tokens, skip_special_tokens=True)
    assert text + stream.finish(whole) == whole


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("seed", range(3))
def test_a_long_text_is_decoded_in_windows(name, seed, monkeypatch):
    monkeypatch.setattr(text_stream, "WINDOW", 20)
    monkeypatch.setattr(text_stream, "CONTEXT", 6)
    tokenizer, rng = TOKENIZERS[name], random.Random(seed)
    tokens = rng.choices(range(len(tokenizer)), k=300)
    assert streamed(tokenizer, tokens, seed) == tokenizer.decode(tokens, skip_special_tokens=True)


def test_windows_bound_what_is_decoded():
    tokenizer = TOKENIZERS["sentencepiece"]
    stream = TextStream(tokenizer)
    for _ in range(2000):
        stream.add([WORDS.index("▁the")])
        assert len(stream._tokens) <= text_stream.WINDOW + 1


def test_text_that_was_changed_is_printed_again():
    stream = TextStream(TOKENIZERS["bytes"])
    stream.add(TOKENIZERS["bytes"]("abc").input_ids)
    assert stream.finish("xyz") == "\nxyz"
