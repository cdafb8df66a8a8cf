"""The text of a request piece by piece, its progress and its summary."""

import asyncio
import threading

import pytest

from dynatree import DynatreeError, ModelPair, generate, stream, stream_async
from dynatree.data.random_model import byte_tokenizer
from tests.support.models import disturbed, tiny_model

REQUEST = {"method": "dynatree", "max_new_tokens": 24, "eos_token_id": None}


@pytest.fixture(scope="module")
def pair():
    target = tiny_model(vocabulary=260)
    return ModelPair(target, disturbed(target), byte_tokenizer())


def test_the_pieces_are_the_text(pair):
    out, seen = generate(pair, "Hi there", **REQUEST), []
    results = []

    def read():
        results.append(
            (yield from stream(pair, "Hi there", on_tokens=lambda tokens, _: seen.extend(tokens), **REQUEST))
        )

    found = list(read())
    assert results[0].tokens == out.tokens == seen
    assert "".join(found) == out.text
    assert all(found)


def test_an_event_loop_receives_the_same_pieces(pair):
    async def read():
        return [piece async for piece in stream_async(pair, "Hi there", **REQUEST)]

    assert "".join(asyncio.run(read())) == generate(pair, "Hi there", **REQUEST).text


def test_a_closed_stream_stops_decoding(pair):
    emitted = []
    pieces = stream(pair, "Hi there", **REQUEST | {"max_new_tokens": 100}, on_tokens=lambda *one: emitted.append(one))
    next(pieces)
    pieces.close()
    assert not [one for one in threading.enumerate() if one.name == "dynatree.stream"]
    assert sum(len(tokens) for tokens, _ in emitted) <= 100


def test_errors_reach_the_reader(pair):
    with pytest.raises(DynatreeError, match="unknown method"):
        next(stream(pair, "Hi", method="magic"))
    with pytest.raises(DynatreeError, match="needs a tokenizer"):
        next(stream(ModelPair(pair.target), [1]))


def test_progress_shows_tokens_and_changes_nothing(pair, capsys):
    out = generate(pair, "Hi there", progress=True, **REQUEST)
    assert out.tokens == generate(pair, "Hi there", **REQUEST).tokens
    assert "24/24" in capsys.readouterr().err


def test_statistics_print_as_a_short_summary(pair):
    stats = generate(pair, "Hi there", **REQUEST).stats
    lines = str(stats).splitlines()
    assert lines[0].startswith("24 tokens in ")
    assert lines[1] == f"{stats.rounds} rounds of {23 / stats.rounds:.2f} tokens"
    assert lines[2] == f"{stats.accepted} of {stats.verified} drafted nodes accepted"
    assert lines[3].startswith("seconds: prefill ")
    assert str(generate(pair, "Hi", max_new_tokens=0).stats).startswith("0 tokens in")
