"""The token tree against its definitions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dynatree.tree import TokenTree


@st.composite
def trees(draw):
    """A random tree of up to 30 nodes below the root, over few tokens so that accepted paths occur."""
    tree = TokenTree(root=draw(st.integers(0, 4)), node_budget=30)
    level = [0]
    while level and tree.depth < 6:
        keys = st.tuples(st.sampled_from(level), st.integers(0, 4))
        children = draw(st.lists(keys, unique=True, max_size=min(tree.capacity_left, 6)))
        if not children:
            break
        parents, tokens = zip(*children, strict=True)
        level = tree.add_level(parents, tokens, [-1.0 * (tree.depth + 1)] * len(children))
    return tree


def ancestors_of(tree: TokenTree, node: int) -> list[int]:
    return [node] if node == 0 else [*ancestors_of(tree, tree.parents[node]), node]


@given(trees())
def test_ancestors_and_depths_follow_the_parents(tree):
    for node in range(len(tree)):
        line = ancestors_of(tree, node)
        assert tree.ancestors[node].nonzero().flatten().tolist() == line
        assert tree.depths[node] == len(line) - 1


@given(trees(), st.data())
def test_accepted_path_is_the_longest_that_the_target_confirms(tree, data):
    size = len(tree)
    predictions = data.draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))

    def confirmed(line: list[int]) -> bool:
        return all(tree.tokens[node] == predictions[tree.parents[node]] for node in line[1:])

    longest = max((ancestors_of(tree, n) for n in range(size) if confirmed(ancestors_of(tree, n))), key=len)
    assert tree.accepted_path(predictions) == longest[1:]


def test_node_budget_is_a_hard_bound():
    tree = TokenTree(root=1, node_budget=2)
    tree.add_level([0, 0], [1, 2], [-1.0, -1.0])
    assert tree.capacity_left == 0
    with pytest.raises(ValueError, match="do not fit"):
        tree.add_level([1], [1], [-2.0])


def test_tokens_can_be_set_after_the_nodes_were_added():
    grown, known = TokenTree(1, 9), TokenTree(1, 9)
    known.add_level([0, 0], [5, 6], [-1.0, -2.0])
    known.add_level([2], [7], [-3.0])
    assert grown.add_nodes([0, 0]) == [1, 2] and grown.add_nodes([2]) == [3]
    assert torch.equal(grown.ancestors, known.ancestors) and grown.depths == known.depths
    grown.set_tokens([5, 6, 7], [-1.0, -2.0, -3.0])
    assert (grown.tokens, grown.log_probs) == (known.tokens, known.log_probs)
    assert grown.accepted_path([6, 0, 7, 0]) == known.accepted_path([6, 0, 7, 0]) == [2, 3]


def test_siblings_differ_and_only_the_deepest_level_grows():
    tree = TokenTree(root=1, node_budget=9)
    with pytest.raises(ValueError, match="siblings"):
        tree.add_level([0, 0], [5, 5], [-1.0, -1.0])
    tree.add_level([0], [5], [-1.0])
    with pytest.raises(ValueError, match="deepest level"):
        tree.add_level([0], [6], [-1.0])
    assert tree.ancestors.dtype == torch.bool and len(tree) == 2


def test_a_chain_is_compared_without_a_walk():
    chain, tree = TokenTree(4, 9), TokenTree(4, 9)
    for depth, token in enumerate([7, 5, 9]):
        chain.add_level([depth], [token], [0.0])
    tree.add_level([0, 0], [7, 8], [0.0, 0.0])
    assert chain.is_chain and not tree.is_chain and TokenTree(4).is_chain
    chain._children.clear()
    paths = [chain.accepted_path(predictions) for predictions in ([7, 5, 9, 1], [7, 5, 1, 1], [7, 1, 9, 1], [1] * 4)]
    assert paths == [[1, 2, 3], [1, 2], [1], []]
