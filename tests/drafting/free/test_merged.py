"""All free sources of the cost-aware policy as a free drafter."""

import pytest

from dynatree.drafting.free.merged import Merged
from dynatree.drafting.free.registry import FREE_DRAFTERS, Setting, make_free_drafter
from dynatree.errors import DynatreeError
from dynatree.latency.cost_model import CostModel

TEXT = [1, 2, 3, 4, 5, 6, 7, 1, 2]


def rows(tokens):
    return [([token, token + 20, token + 30], [-0.1, -2.5, -4.0]) for token in tokens]


def test_a_repeated_text_is_continued_and_predictions_are_recycled():
    drafter = Merged(8)
    drafter.observe(TEXT)
    drafter.observe([3], rows([3]))
    tree = drafter.draft(8)
    assert tree.path_along([4, 5, 6]) == [1, 2, 3]
    drafter.observe([4, 5, 6, 7, 8], rows([4, 5, 6, 7, 8]))
    drafter.observe([4], rows([4]))
    assert drafter.draft(8).path_along([25])  # runner-up after token 4


def test_chains_have_one_node_on_each_level():
    drafter = Merged(6, chains=True)
    drafter.observe(TEXT)
    drafter.observe([3], rows([3]))
    tree = drafter.draft(6)
    assert tree.depths == list(range(len(tree))) and len(tree) > 3


def test_expensive_nodes_are_left_out():
    drafter = Merged(8, CostModel((1, 2), (0,), [[1.0, 50.0]]))
    drafter.observe(TEXT)
    drafter.observe([3], rows([3]))
    assert len(drafter.draft(8)) == 1


@pytest.mark.parametrize("name", FREE_DRAFTERS)
@pytest.mark.parametrize("nodes", [1, 7])
def test_every_drafter_keeps_its_budget_over_requests(name, nodes):
    drafter = make_free_drafter(name, Setting(nodes))
    for _ in range(3):
        drafter.begin_request()
        drafter.observe(TEXT)
        drafter.observe([3], rows([3]))
        for start in range(4, 16, 3):
            tokens = [start % 8, (start + 1) % 8, (start + 2) % 8]
            tree = drafter.draft(nodes)
            assert len(tree) <= nodes + 1
            accepted = len(tree.path_along(tokens[:-1]))
            drafter.observe(tokens[: accepted + 1], rows(tokens[: accepted + 1]))


def test_an_unknown_drafter_is_named():
    with pytest.raises(DynatreeError, match="unknown drafter 'oracle'; choose one of prompt_lookup"):
        make_free_drafter("oracle", Setting(4))
