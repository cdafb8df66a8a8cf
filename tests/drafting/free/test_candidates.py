"""Candidates that become a tree."""

import pytest

from dynatree.drafting.free.candidates import Candidates, chain


def test_the_best_nodes_stay_and_every_node_has_its_parent():
    candidates = Candidates(1)
    left = candidates.add(0, 2, 0.2)
    right = candidates.add(0, 3, 0.6)
    candidates.add(left, 4, 0.9)  # counts as 0.2, because a path is no more probable than its beginning
    candidates.add(right, 5, 0.5)
    tree = candidates.tree(3)
    assert tree.tokens == [1, 2, 3, 5] and tree.parents == [-1, 0, 0, 2]


def test_a_token_that_is_added_twice_keeps_its_larger_score():
    candidates = Candidates(1)
    assert candidates.add(0, 2, 0.2) == candidates.add(0, 2, 0.4) == candidates.add(0, 2, 0.1)
    assert candidates.score(1) == 0.4


def test_a_chain_is_cut_to_the_budget():
    tree = chain(1, [2, 3, 4], 2)
    assert tree.tokens == [1, 2, 3] and tree.parents == [-1, 0, 1]


@pytest.mark.parametrize("tokens", [[], [9]])
def test_a_path_ends_where_the_tree_has_no_child(tokens):
    tree = chain(1, [2, 3], 5)
    assert tree.path_along([2, *tokens]) == [1]
