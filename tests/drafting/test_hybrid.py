"""The costs, the pool and the candidates of the hybrid drafter."""

import math

import pytest

from dynatree import generate
from dynatree.decoding.arguments import find_policy, request_options
from dynatree.decoding.engine import decode
from dynatree.drafting.base import RoundContext
from dynatree.drafting.pool import Pool
from dynatree.drafting.round_costs import RoundCosts
from dynatree.latency.cost_model import CostModel
from dynatree.policies.calibration import Estimate
from dynatree.policies.cost_aware import CostAware
from dynatree.tree import TokenTree
from tests.support.strategies import pair_of

PROMPT = [4, 8, 15, 16]


def estimate(token: int, probability: float) -> Estimate:
    return Estimate(probability, token, kind=0, sources=1)


@pytest.mark.parametrize("batch", [1, 3])
def test_seconds_become_the_tokens_that_plain_decoding_emits(batch):
    target = CostModel((1, 64), (1,), [[1.0, 64.0]])
    policy = CostAware(node_budget=3)
    costs = RoundCosts.estimate(target, policy, RoundContext(max_depth=5, target_entries=9, batch=batch))
    assert costs.plain_seconds == batch
    assert costs.verify_tokens == pytest.approx([1, 2, 3, 4])
    assert costs.min_node_tokens == pytest.approx(1)
    assert costs.draft_tokens(0.5) == pytest.approx(0.5)
    assert costs.plain_passes(0.5) == pytest.approx(0.5)


def test_a_pool_keeps_the_most_probable_children_that_fit():
    pool = Pool((6, 7), size=3, width=9, selectable=3)
    level = pool.add_level([0], [[estimate(1, 0.6), estimate(2, 0.3), estimate(3, 0.01)]], 0.05)
    assert [pool.tokens[node] for node in level] == [1, 2]
    (node,) = pool.add_level([1, 2], [[estimate(4, 0.2)], [estimate(5, 0.9)]], 0.05)
    assert (pool.parents[node], pool.tokens[node]) == (2, 5)
    assert pool.contexts[node] == (6, 7, 2, 5) and pool.full
    nodes, probabilities = pool.ranked()
    assert nodes == [1, 2, 3] and probabilities == pytest.approx([0.6, 0.3, 0.27])
    assert pool.mass([1, 2]) == pytest.approx(0.9)
    assert pool.add_level([3], [[estimate(6, 1.0)]], 0.0) == []
    assert pool.as_tree().tokens == pool.tokens and pool.as_tree().parents == pool.parents


def test_candidates_that_cannot_be_selected_leave_room_for_deeper_ones():
    pool = Pool((7,), size=7, width=9, selectable=4)
    siblings = [estimate(1, 0.6), estimate(2, 0.1), estimate(3, 0.09), estimate(4, 0.08)]
    assert len(pool.add_level([0], [siblings], 0.0)) == 4
    level = [1]
    for depth in range(2, 5):
        level = pool.add_level(level, [[estimate(5, 0.9), estimate(6, 0.1)]], 0.0)
        assert [pool.depths[node] for node in level] == [depth]
    assert pool.tokens == [7, 1, 2, 3, 4, 5, 5, 5]


def test_selected_nodes_are_copied_with_their_parents():
    pool = Pool((7,), size=8, width=9, selectable=8)
    pool.add_level([0], [[estimate(1, 0.6), estimate(2, 0.3)]], 0.0)
    pool.add_level([2], [[estimate(5, 0.9)]], 0.0)
    tree = TokenTree(7, 2)
    assert pool.copy_into(tree, [2, 3]) == [0, 2, 3]
    assert (tree.tokens, tree.parents) == ([7, 2, 5], [-1, 0, 1])
    assert tree.log_probs == pytest.approx([0, math.log(0.3), math.log(0.27)])


def test_candidates_are_kept_on_request():
    pair = pair_of("llama", 2, 0.02)
    out = generate(pair, PROMPT, "cost_aware", 30, None)
    assert all(one.candidates is None for one in out.stats.rounds_log)
    policy = find_policy(pair, "cost_aware", {})
    kept = decode(pair, request_options(pair, PROMPT, policy, 30, None, keep_candidates=True))
    for one in kept.stats.rounds_log:
        assert one.candidates is not None and len(one.candidates.tokens) > one.nodes
        assert one.candidates.tokens[0] == kept.tokens[one.start - 1]


@pytest.mark.parametrize(("cost", "shape"), [(0.2, [0, 1, 2]), (0.05, [0, 1, 1, 2])])
def test_the_policy_verifies_a_chain_where_a_second_branch_does_not_pay(cost, shape):
    pool = Pool((7,), size=8, width=9, selectable=8)
    first, _ = pool.add_level([0], [[estimate(1, 0.8), estimate(2, 0.12)]], 0.0)
    pool.add_level([first], [[estimate(3, 0.8)]], 0.0)
    nodes, probabilities = pool.ranked()
    count, _ = CostAware(node_budget=8).expected_gain(probabilities, [1 + cost * n for n in range(9)])
    tree = TokenTree(7, 8)
    pool.copy_into(tree, sorted(nodes[:count]))
    assert tree.depths == shape
