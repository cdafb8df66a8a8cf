"""The round that is drawn."""

import pytest

from dynatree import DynatreeError, ModelPair, TokenTree, generate, load_pair
from dynatree.benchmark.example_tree import NEW_TOKENS, DraftedRound, illustrate, instructive
from dynatree.data.random_model import save_tiny_checkpoint

PROMPTS = [{"id": name, "tokens": list(range(5 + seed, 25 + seed))} for seed, name in enumerate(("one", "two"))]
OPTIONS = {"node_budget": 12, "prune_probability": 0.0, "stop_probability": 0.0, "deep_probability": 0.0}


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> ModelPair:
    folder = tmp_path_factory.mktemp("pair")
    save_tiny_checkpoint(folder / "target", "llama", 0, 2, 0.0)
    save_tiny_checkpoint(folder / "draft", "llama", 0, 2, 0.02)
    return load_pair(folder / "target", folder / "draft", "cpu", "float32")


def test_the_round_is_a_real_one(pair):
    drawn = illustrate(pair, PROMPTS, OPTIONS)
    prompt = next(prompt["tokens"] for prompt in PROMPTS if prompt["id"] == drawn["prompt"])
    emitted = generate(pair, prompt, "autoregressive", NEW_TOKENS, None).tokens[drawn["new_position"] :]
    path = [0, *drawn["accepted"]]
    texts = [pair.tokenizer.decode([token]) for token in emitted[: len(path) + 1]]
    assert [drawn["tokens"][node] for node in path] + [drawn["bonus"]] == texts
    assert drawn["root"] == drawn["tokens"][0]
    assert [drawn["parents"][node] for node in path] == [-1, *path[:-1]]


def test_the_tree_is_sound_and_branches(pair):
    drawn = illustrate(pair, PROMPTS, OPTIONS)
    parents, depths, probabilities = (drawn[name] for name in ("parents", "depths", "path_probabilities"))
    assert len(drawn["tokens"]) == len(parents) == len(depths) == len(probabilities) <= 13
    for node, parent in enumerate(parents[1:], 1):
        assert parent < node and depths[node] == depths[parent] + 1
        assert probabilities[node] <= probabilities[parent] <= 1
    assert max(map(parents.count, parents)) > 1
    assert drawn["accepted"]


def test_the_same_round_every_time(pair):
    assert illustrate(pair, PROMPTS, OPTIONS) == illustrate(pair, PROMPTS, OPTIONS)


def _drafted(levels: list[list[int]], accepted: list[int]) -> DraftedRound:
    """A round with nodes of these parents, level by level, siblings best first."""
    tree = TokenTree(7, 64)
    for parents in levels:
        tree.add_level(parents, list(range(len(parents))), [-1.0] * len(parents))
    return DraftedRound(tree, accepted, 1, 0)


def test_what_makes_a_round_instructive():
    chain = _drafted([[0], [1], [2]], [1, 2, 3])
    bush = _drafted([[0, 0], [1, 1]], [1])
    longer = _drafted([[0, 0], [1, 1]], [1, 3])
    detour = _drafted([[0, 0], [1, 1]], [1, 4])
    large = _drafted([[0] * 9, [1] * 9], [1, 11])
    assert sorted([chain, bush, longer, detour, large], key=instructive) == [chain, bush, longer, large, detour]


def test_callback_sees_every_round(pair):
    seen = []
    out = generate(
        pair, PROMPTS[0]["tokens"], "dynatree", 20, None, on_round=lambda *seen_now: seen.append(seen_now), **OPTIONS
    )
    assert [(len(tree) - 1, tree.depth) for tree, _, _ in seen] == [(r.nodes, r.depth) for r in out.stats.rounds_log]
    tokens = [token for tree, path, own in seen for token in [*(tree.tokens[node] for node in path), own]]
    assert out.tokens[1:] == tokens[: len(out.tokens) - 1]


def test_mistakes_are_told(pair):
    with pytest.raises(DynatreeError, match="no tokenizer"):
        illustrate(ModelPair(pair.target, pair.draft), PROMPTS, OPTIONS)
    with pytest.raises(DynatreeError, match="no round of the first prompts drafted"):
        illustrate(pair, [], OPTIONS)
