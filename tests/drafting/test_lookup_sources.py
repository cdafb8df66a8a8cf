"""Lookups that pay for their host time are used, others are left out; by a simulated clock."""

import pytest

from dynatree import ModelPair, generate
from dynatree.drafting.lookup import LOOKUPS, NGramLookup
from dynatree.latency.cost_model import CostModel
from dynatree.policies.cost_aware import CostAware
from tests.support.models import reference, tiny_model
from tests.support.simulated_clock import simulated_clock

PASS = CostModel((1, 64), (1,), [[1.0, 1.2]])
REPEATED = [4, 8, 15, 16, 4, 8, 15, 16]


def timed_lookup(clock, seconds: float):
    """A class of lookups that take ``seconds`` for each context, and the number of contexts so far."""

    class Timed(NGramLookup):
        contexts = 0

        def propose(self, context, count):
            clock.now += seconds
            Timed.contexts += 1
            return super().propose(context, count)

    return Timed


def decode(monkeypatch, target, seconds, prompt, new, **options):
    """Tokens, the seconds after the first token, the rounds and the contexts that were looked up."""
    pair = ModelPair(target)
    with simulated_clock(pair, PASS) as clock:
        lookup = timed_lookup(clock, seconds)
        monkeypatch.setitem(LOOKUPS, "ngram", lookup)
        policy = CostAware(sources=("ngram",), **options)
        out = generate(pair, prompt, policy, new, None)
    taken = out.stats.seconds["total"] - out.stats.seconds["ttft"]
    return out.tokens, taken, out.stats.rounds, lookup.contexts


@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_a_slow_lookup_is_left_out(monkeypatch, seconds):
    target = tiny_model("llama", 1, 512, 512)  # its text is random, so that nothing is found
    tokens, taken, rounds, contexts = decode(monkeypatch, target, seconds, [4, 8, 15, 16], 300)
    assert tokens == reference(target, [4, 8, 15, 16], 300, None)
    assert contexts < 0.1 * rounds
    assert taken <= 1.02 * 299 + 1 + seconds


def test_a_fast_lookup_is_used_in_every_round(monkeypatch):
    target = tiny_model("llama", 2)
    tokens, taken, rounds, contexts = decode(monkeypatch, target, 0.001, REPEATED, 100)
    assert tokens == reference(target, REPEATED, 100, None)
    assert contexts >= rounds and taken < 0.95 * 99


def test_a_lookup_that_takes_longer_than_its_tokens_save_is_left_out(monkeypatch):
    """The same text as above, whose repetitions are worth less than the lookup costs."""
    target = tiny_model("llama", 2)
    tokens, taken, *_ = decode(monkeypatch, target, 4.0, REPEATED, 100)
    assert tokens == reference(target, REPEATED, 100, None)
    assert taken <= 1.02 * 99 + 1 + 2 * 4.0
