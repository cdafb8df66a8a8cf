"""Traces of requests."""

import json

import pytest

from dynatree import ModelPair
from dynatree.analysis.oracle_bound import passes_after_prefill
from dynatree.benchmark.round_traces import generate_traced, path_ranks
from dynatree.config.jobs import Case
from dynatree.latency.cost_model import CostModel
from dynatree.policies.cost_aware import CostAware
from dynatree.tree import TokenTree
from tests.support.models import disturbed, tiny_model

PROMPT = [4, 8, 15, 16]
FLAT, CHEAP = CostModel((1, 64), (1,), [[1.0, 1.01]]), CostModel((1, 64), (1,), [[0.05, 0.06]])


@pytest.fixture
def pair():
    target = tiny_model("llama", 2)
    pair = ModelPair(target, disturbed(target, 0.02))
    pair.state.cost_models |= {"target": FLAT, "draft": CHEAP}
    return pair


@pytest.mark.parametrize("method", ["autoregressive", "chain", "dynatree", "cost_aware"])
def test_a_trace_holds_every_pass_and_round(pair, method):
    out, trace = generate_traced(pair, PROMPT, Case("dynatree", method), 30)
    assert json.loads(json.dumps(trace)) == trace
    assert sum(emitted for *_, emitted, _ in trace["rounds"]) == len(out.tokens) - 1
    recorded = {role: [list(one) for one in passes] for role, passes in out.stats.passes.items()}
    passes = passes_after_prefill(recorded, trace["rounds"])
    assert [new for new, _ in passes["target"]] == [nodes + 1 for nodes, *_ in trace["rounds"]]
    assert len(passes["draft"]) == sum(drafts for *_, drafts in trace["rounds"])
    assert recorded["target"][0] == [len(PROMPT), 0]
    contexts = [len(PROMPT) + sum(one[3] for one in trace["rounds"][:index]) for index in range(len(trace["rounds"]))]
    assert [context for _, context in passes["target"]] == contexts
    assert (trace["ranks"] is None) == (trace["calibration_error"] is None) == (method != "cost_aware")


def test_ranks_tell_what_the_verified_tree_held(pair, monkeypatch):
    """The accepted tokens are those whose rank the tree reached, and trees are prefixes of the policy's order."""
    monkeypatch.setattr(CostModel, "observe", lambda *_: None)
    monkeypatch.setattr(CostAware, "rate", lambda _, plain: 1 / plain)
    _, trace = generate_traced(pair, PROMPT, Case("dynatree", "cost_aware"), 40)
    assert len(trace["ranks"]) == len(trace["rounds"])
    for (nodes, _, accepted, _, _), ranks in zip(trace["rounds"], trace["ranks"], strict=True):
        assert ranks == sorted(set(ranks))
        assert sum(rank <= nodes for rank in ranks) == accepted
    assert sum(accepted for _, _, accepted, *_ in trace["rounds"]) > 0


def test_ranks_follow_falling_probability_down_the_emitted_path():
    tree = TokenTree(1, 8)
    a, b = tree.add_level([0, 0], [10, 11], [-0.5, -1.0])
    c, _ = tree.add_level([a, b], [20, 21], [-2.0, -1.5])
    tree.add_level([c], [30], [-2.5])
    # falling: a, b, b's child, a's child, its child
    assert path_ranks(tree, [10, 20, 30, 40]) == [1, 4, 5]
    assert path_ranks(tree, [11, 21]) == [2, 3]
    assert path_ranks(tree, [11, 20]) == [2]
    assert path_ranks(tree, [10]) == [1]
    assert path_ranks(tree, [12, 20]) == path_ranks(tree, []) == []


def test_a_request_of_one_token_has_no_rounds(pair):
    _, trace = generate_traced(pair, PROMPT, Case("dynatree", "cost_aware"), 1)
    assert trace["rounds"] == trace["ranks"] == []
