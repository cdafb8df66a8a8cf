"""Costs and gains of speculation, by a simulated clock."""

import time

import pytest

from dynatree import ModelPair, generate
from dynatree.drafting.lookup import LOOKUPS
from dynatree.latency.cost_model import predict
from dynatree.latency.measure import CostModel
from dynatree.models.pair import PairState
from dynatree.policies.cost_aware import LOSS_BUDGET
from tests.support.models import disturbed, reference, tiny_model
from tests.support.simulated_clock import simulated_clock

PROMPT = [4, 8, 15, 16]
CPU = ((1.0, 1.1, 1.2, 1.5, 2.2, 4.0, 8.0), (0.1, 0.11, 0.12, 0.15, 0.22, 0.4, 0.8))  # like the embedded pair's
GPU = ((1.0, 1.0, 1.0, 1.0, 1.05, 1.1, 1.2), (0.2, 0.2, 0.2, 0.2, 0.21, 0.22, 0.24))
STEEP = ((1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0), (0.9, 1.8, 3.6, 7.2, 14.0, 29.0, 58.0))
MACHINES = {"cpu": CPU, "gpu": GPU, "steep": STEEP}


def latencies(machine) -> list[CostModel]:
    return [CostModel((1, 2, 4, 8, 16, 32, 64), (1,), [list(seconds)]) for seconds in machine]


def seconds(pair, machine, method, new, rounds=1, **options) -> float:
    """Seconds after prefill on a machine, of several requests in a row."""
    with simulated_clock(pair, *latencies(machine)):
        outs = [generate(pair, PROMPT, method, new, None, **options) for _ in range(rounds)]
    return sum(out.stats.seconds["total"] - out.stats.seconds["ttft"] for out in outs)


@pytest.mark.parametrize("method", ["autoregressive", "dynatree", "cost_aware"])
def test_time_is_the_sum_of_the_passes(method):
    target = tiny_model("llama", 2)
    pair = ModelPair(target, disturbed(target, 0.02))
    with simulated_clock(pair, *latencies(CPU)):
        out = generate(pair, PROMPT, method, 30, None)
    assert out.tokens == reference(target, PROMPT, 30, None)
    expected = 0.0
    for role, latency in zip(("target", "draft"), latencies(CPU), strict=True):
        expected += predict(out.stats.passes[role], latency)
    assert out.stats.seconds["total"] == pytest.approx(expected)


def test_the_clock_and_the_cost_models_do_not_drift():
    target = tiny_model("llama", 2)
    pair = ModelPair(target, disturbed(target, 0.05))
    times = [CostModel((1, 8, 64), (1, 100), [[a, a, 2 * a], [3 * a, 3 * a, 6 * a]]) for a in (1.0, 0.1)]
    with simulated_clock(pair, *times):
        for _ in range(5):
            out = generate(pair, PROMPT, "cost_aware", 80, None)
            expected = sum(predict(out.stats.passes[r], t) for r, t in zip(("target", "draft"), times, strict=True))
            assert out.stats.seconds["total"] == pytest.approx(expected)
        assert pair.state.cost_models["target"].drift == pytest.approx(1)
        assert pair.state.cost_models["draft"].drift == pytest.approx(1)


def test_the_pair_is_restored_afterwards():
    pair = ModelPair(tiny_model("llama", 2))
    state = pair.state
    with simulated_clock(pair, latencies(CPU)[0]):
        generate(pair, PROMPT, "cost_aware", 20, None)
        assert pair.state is not state
    assert pair.state is state and state == PairState()
    assert pair.clock is time.perf_counter
    assert not pair.target.base_model._forward_pre_hooks


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("kind", "seed"), [("llama", 1), ("gpt_neox", 2)])
def test_a_useless_draft_costs_at_most_two_percent(machine, kind, seed):
    """The text is random, so lookups rarely match, and the draft is unrelated to the target."""
    pair = ModelPair(tiny_model(kind, seed, 512, 512), tiny_model(kind, seed + 50, 512, 512))
    plain = seconds(pair, MACHINES[machine], "autoregressive", 100, rounds=8)
    assert seconds(pair, MACHINES[machine], "cost_aware", 100, rounds=8) <= 1.02 * plain


@pytest.mark.parametrize("share", [0.01, 0.1, 1.0])
def test_useless_lookups_and_a_useless_draft_cost_at_most_two_percent_with_their_host_time(monkeypatch, share):
    """Each lookup takes a share of a forward pass for each context."""
    pair = ModelPair(tiny_model("llama", 1, 512, 512), tiny_model("llama", 51, 512, 512))
    plain = seconds(pair, CPU, "autoregressive", 100, rounds=8)
    with simulated_clock(pair, *latencies(CPU)) as clock:

        def propose(self, context, count):
            clock.now += share
            return []

        for lookup in LOOKUPS.values():
            monkeypatch.setattr(lookup, "propose", propose)
        outs = [generate(pair, PROMPT, "cost_aware", 100, None) for _ in range(8)]
    assert sum(out.stats.seconds["total"] - out.stats.seconds["ttft"] for out in outs) <= 1.02 * plain


@pytest.mark.parametrize("new", [2, 3, 5, 9, 17])
@pytest.mark.parametrize("machine", MACHINES)
def test_short_requests_cost_no_more_than_the_loss_budget_and_two_percent(machine, new):
    pair = ModelPair(tiny_model("llama", 1, 512, 512), tiny_model("llama", 51, 512, 512))
    plain = seconds(pair, MACHINES[machine], "autoregressive", new, rounds=20)
    behind = predict([(len(PROMPT), 0)], latencies(MACHINES[machine])[1])
    speculative = seconds(pair, MACHINES[machine], "cost_aware", new, rounds=20)
    assert speculative <= 1.02 * plain + LOSS_BUDGET + 2 * behind


def test_speculation_goes_on_after_a_pause_of_the_process(monkeypatch):
    """A garbage collection or another process may stop this one for many forward passes in the middle of a lookup."""
    target = tiny_model("llama", 2)
    pair, pause = ModelPair(target, disturbed(target, 0.02)), 20.0
    plain = seconds(pair, CPU, "autoregressive", 60, rounds=3)
    with simulated_clock(pair, *latencies(CPU)) as clock:
        times = iter([0.001] * 30 + [pause])

        def propose(self, context, count):
            clock.now += next(times, 0.001)
            return []

        for lookup in LOOKUPS.values():
            monkeypatch.setattr(lookup, "propose", propose)
        outs = [generate(pair, PROMPT, "cost_aware", 60, None) for _ in range(3)]
    took = sum(out.stats.seconds["total"] - out.stats.seconds["ttft"] for out in outs)
    assert next(times, None) is None
    assert took - pause < 0.9 * plain


@pytest.mark.parametrize("machine", ["cpu", "gpu"])
def test_a_good_draft_pays(machine):
    target = tiny_model("llama", 2)
    pair = ModelPair(target, disturbed(target, 0.02))
    plain = seconds(pair, MACHINES[machine], "autoregressive", 60, rounds=3)
    assert seconds(pair, MACHINES[machine], "cost_aware", 60, rounds=3) < 0.8 * plain
