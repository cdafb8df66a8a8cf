"""Forward passes over trees."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dynatree.models.runner import ModelRunner
from dynatree.tree import TokenTree
from tests.support.models import VOCABULARY, tiny_model

tokens = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=10)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@given(prefix=tokens, data=st.data())
@torch.inference_mode()
def test_every_node_attends_to_exactly_its_own_path(kind, prefix, data):
    """Logits of a tree node equal those of a plain forward over the prefix and its path: no sibling leaks in."""
    model = tiny_model(kind)
    tree, level = TokenTree(prefix[-1], 12), [0]
    for _ in range(3):
        keys = st.tuples(st.sampled_from(level), st.integers(0, VOCABULARY - 1))
        parents, ids = zip(*data.draw(st.lists(keys, unique=True, min_size=1, max_size=4)), strict=True)
        level = tree.add_level(parents, ids, [0.0] * len(ids))
    cached = ModelRunner(model, "target", 64)
    if prefix[:-1]:
        cached.forward(prefix[:-1], range(len(prefix) - 1))
    positions = [len(prefix) - 1 + depth for depth in tree.depths]
    logits = cached.forward(tree.tokens, positions, tree.ancestors)
    for node in range(len(tree)):
        path = [tree.tokens[i] for i in tree.ancestors[node].nonzero().flatten().tolist()]
        expected = model(torch.tensor([prefix[:-1] + path])).logits[0, -1]
        torch.testing.assert_close(logits[node], expected, atol=1e-4, rtol=1e-4)
