"""The cost-aware policy."""

import itertools

import pytest

from dynatree import DynatreeError, ModelPair, generate
from dynatree.decoding.arguments import find_policy
from dynatree.latency.cost_model import CostModel
from dynatree.policies.cost_aware import LOOKUP_RESERVE, LOSS_BUDGET, CostAware
from dynatree.policies.registry import make_policy
from tests.support.models import disturbed, reference, tiny_model

FLAT = CostModel((1, 64), (1,), [[1.0, 1.01]])
CHEAP = CostModel((1, 64), (1,), [[0.05, 0.06]])
STEEP = CostModel((1, 64), (1,), [[1.0, 64.0]])


def with_costs(pair, target, draft=CHEAP):
    pair.state.cost_models |= {"target": target, "draft": draft}
    return pair


@pytest.fixture
def frozen(monkeypatch):
    """Decisions follow the given cost models alone, not the measured times."""
    monkeypatch.setattr(CostModel, "observe", lambda *_: None)
    monkeypatch.setattr(CostAware, "rate", lambda _, plain_seconds: 1 / plain_seconds)


def test_the_expected_gain_is_the_largest_of_all_prefixes():
    policy = make_policy("cost_aware")
    costs = [1.0, 1.6, 1.7, 1.8, 2.6, 2.7]
    probabilities = [0.5, 0.4, 0.3, 0.2, 0.05]
    sums = [0, *itertools.accumulate(probabilities)]
    gains = [sums[n] - costs[n] + costs[0] for n in range(6)]
    assert policy.expected_gain(probabilities, costs) == (3, pytest.approx(max(gains)))
    assert policy.expected_gain([0.1, 0.05], costs) == (0, 0.0)


def test_the_budget_bounds_the_tree():
    assert make_policy("cost_aware", node_budget=2).expected_gain([0.9] * 5, [1.0] + [1.01] * 5)[0] == 2


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_trees_are_larger_where_nodes_are_cheaper(kind, frozen):
    target = tiny_model(kind, 2)
    prompt, draft = [4, 8, 15, 16], disturbed(target, 0.02)
    expected = reference(target, prompt, 40, None)
    cheap = generate(with_costs(ModelPair(target, draft), FLAT), prompt, "cost_aware", 40, None)
    dear = generate(with_costs(ModelPair(target, draft), STEEP, STEEP), prompt, "cost_aware", 40, None)
    assert cheap.tokens == dear.tokens == expected
    assert cheap.stats.rounds < 40 and max(entry.nodes for entry in cheap.stats.rounds_log) > 4
    assert dear.stats.verified < cheap.stats.verified


@pytest.mark.parametrize("seed", range(4))
def test_probabilities_of_one_and_zero_keep_the_output_exact(seed, frozen):
    target = tiny_model("llama", seed)
    target.get_output_embeddings().weight.data *= 1000
    out = generate(with_costs(ModelPair(target, target), FLAT), [4, 8, 15, 16], "cost_aware", 40, None)
    assert out.tokens == reference(target, [4, 8, 15, 16], 40, None)
    assert out.stats.rounds < 12


@pytest.mark.parametrize("sources", [["ngram"], ["recycling"], ["ngram", "recycling"]])
def test_lookups_alone_accept_tokens_and_keep_the_output_exact(sources, frozen):
    target = tiny_model("llama", 2)
    prompt = [4, 8, 15, 16, 4, 8, 15, 16]
    out = generate(with_costs(ModelPair(target), FLAT), prompt, "cost_aware", 60, None, sources=tuple(sources))
    assert out.tokens == reference(target, prompt, 60, None)
    assert out.stats.draft_forwards == 0 and out.stats.accepted > 0


def test_a_draft_that_does_not_pay_is_not_run_without_a_probe_share(frozen):
    target = tiny_model("llama", 2)
    rising = CostModel((1, 64), (1,), [[1.0, 30.0]])
    pair = with_costs(ModelPair(target, tiny_model("llama", 5)), rising, CostModel((1, 64), (1,), [[0.3, 3.0]]))
    forwards = [
        generate(pair, [4, 8, 15, 16], "cost_aware", 60, None, probe_share=0.0).stats.draft_forwards for _ in range(4)
    ]
    assert forwards[0] > 0
    assert forwards[-1] == 0


def test_the_draft_model_leaves_a_part_of_the_loss_budget_to_the_lookups():
    policy = make_policy("cost_aware")
    policy.observe_round(0, 1.0, LOSS_BUDGET - LOOKUP_RESERVE)
    assert policy.affords(0.9 * LOOKUP_RESERVE) and not policy.affords(0.1, LOOKUP_RESERVE)
    assert policy.expected_gain([0.9], [1.0, 1.1])[0] == 1
    assert policy.expected_gain([0.9], [1.0, 1.1], LOOKUP_RESERVE)[0] == 0


def test_probing_a_draft_takes_no_more_than_its_share_of_the_time():
    policy = make_policy("cost_aware", probe_share=0.01)
    for _ in range(99):
        policy.observe_round(1, 1.0, 1.0)
    assert not policy.may_probe(1.0)
    policy.observe_round(1, 1.5, 1.0)
    assert policy.may_probe(1.0)
    assert not policy.may_probe(0.1)


def test_the_pair_keeps_the_policy_for_later_requests(frozen):
    target = tiny_model("llama", 2)
    pair = with_costs(ModelPair(target, disturbed(target, 0.02)), FLAT)
    generate(pair, [4, 8], "cost_aware", 20, None)
    kept = find_policy(pair, "cost_aware", {})
    assert kept.calibration.error is not None
    generate(pair, [4, 8], "cost_aware", 20, None)
    assert find_policy(pair, "cost_aware", {}) is kept


@pytest.mark.parametrize("sources", [(), ("model", "model"), ("oracle",)])
def test_wrong_sources_are_rejected(sources):
    with pytest.raises(DynatreeError, match="sources must be"):
        make_policy("cost_aware", sources=sources)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_a_cost_model_with_cheaper_wide_passes_keeps_the_output_exact(kind, frozen):
    """Each width has its own correction, so these cost models occur; a proposal of probability 0 stays out."""
    target = tiny_model(kind, 1)
    pair = with_costs(ModelPair(target, disturbed(target, 0.05)), CostModel((1, 2, 64), (1,), [[1.0, 0.9, 0.95]]))
    how = {"max_new_tokens": 40, "eos_token_id": None, "temperature": 0.001, "seed": 2}
    expected = generate(ModelPair(target), [3, 4], "autoregressive", **how).tokens
    assert generate(pair, [3, 4], "cost_aware", **how).tokens == expected
