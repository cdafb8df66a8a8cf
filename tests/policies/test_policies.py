"""The rules of the policies, node by node."""

import math

import pytest

from dynatree.policies.registry import make_policy
from dynatree.tree import TokenTree


def chain(*probabilities: float) -> TokenTree:
    """A chain whose nodes have these path probabilities."""
    tree = TokenTree(0, len(probabilities))
    for node, path_probability in enumerate(probabilities):
        tree.add_level([node], [node], [math.log(path_probability)])
    return tree


def test_breadth_follows_confidence():
    policy = make_policy("dynatree", min_branch=1, mid_branch=2, max_branch=4, high_confidence=0.9, low_confidence=0.4)
    assert [policy.breadth(1, c) for c in (1.0, 0.9, 0.89, 0.4, 0.39, 0.0)] == [1, 1, 2, 2, 4, 4]
    assert policy.max_children == 4


def test_breadth_can_be_switched_off_and_the_root_fixed():
    policy = make_policy("dynatree", adapt_breadth=False, mid_branch=2, root_branch=5)
    assert [policy.breadth(node, 0.1) for node in (0, 1)] == [5, 2]
    assert policy.max_children == 5
    assert make_policy("fixed_tree", branch=3, root_branch=1).breadth(0, 0.5) == 1


def test_improbable_and_deep_nodes_get_no_children():
    policy = make_policy(
        "dynatree", base_depth=2, max_depth=4, stop_probability=0.1, deep_probability=0.5, history=False
    )
    likely, doubtful, hopeless = chain(0.9, 0.8, 0.7, 0.6), chain(0.9, 0.4), chain(0.09)
    assert [policy.expands(likely, node) for node in range(5)] == [True, True, True, True, False]
    assert [policy.expands(doubtful, node) for node in range(3)] == [True, True, False]
    assert not policy.expands(hopeless, 1)


def test_without_adapted_depth_only_pruning_and_base_depth_count():
    policy = make_policy("dynatree", adapt_depth=False, base_depth=2, prune_probability=0.05)
    assert [policy.expands(chain(0.06, 0.06), node) for node in range(3)] == [True, True, False]
    assert not policy.expands(chain(0.04), 1)


def test_a_chain_has_one_child_per_node_up_to_its_length():
    policy = make_policy("chain", length=3)
    assert (policy.max_children, policy.node_budget) == (1, 3)
    assert [policy.expands(chain(1e-9, 1e-9, 1e-9), node) for node in range(4)] == [True, True, True, False]


def test_proportional_history_moves_every_round_and_stays_in_range():
    policy = make_policy("dynatree", target_acceptance=0.5, adjustment_rate=0.1, base_depth=4, max_depth=8)
    policy.observe(depth=4, accepted=4)
    assert policy.current.base_depth == pytest.approx(4 + 0.05)
    assert policy.current.high_confidence == pytest.approx(0.85)
    assert policy.current.low_confidence == pytest.approx(0.35)
    for _ in range(500):
        policy.observe(depth=4, accepted=4)
    assert (policy.current.base_depth, policy.current.high_confidence, policy.current.low_confidence) == (7, 0, 0)
    for _ in range(500):
        policy.observe(depth=4, accepted=0)
    assert (policy.current.base_depth, policy.current.high_confidence, policy.current.low_confidence) == (1, 1, 1)


def test_rounds_without_a_tree_change_nothing():
    policy = make_policy("dynatree")
    policy.observe(depth=0, accepted=0)
    assert policy.current.base_depth == 5


def test_the_published_rule_moves_in_fixed_steps_from_the_fifth_request_on():
    policy = make_policy("dynatree", history="published_code", base_depth=5, max_depth=8)
    depths = []
    for _ in range(8):
        policy.finish(tokens=70, rounds=10)
        depths.append(policy.current.base_depth)
    assert depths == [5, 5, 5, 5, 6, 7, 7, 7]
    assert policy.current.high_confidence == pytest.approx(0.9 - 4 * 0.05)
    quiet = make_policy("dynatree", history="published_code")
    for _ in range(8):
        quiet.finish(tokens=49, rounds=10)
    assert quiet.current.base_depth == 5
