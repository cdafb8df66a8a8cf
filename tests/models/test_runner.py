"""The cache inside real forward passes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dynatree.models.kv_cache import TreeCache
from dynatree.models.runner import ModelRunner
from dynatree.tree import TokenTree
from tests.support.models import VOCABULARY, tiny_model

tokens = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=10)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@settings(max_examples=25, deadline=None)
@given(prefix=tokens, data=st.data())
@torch.inference_mode()
def test_every_node_sees_exactly_its_own_path(kind, prefix, data):
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


@given(st.integers(0, 8), st.sets(st.integers(0, 11), max_size=12))
def test_keep_equals_indexing(start, offsets):
    cache = TreeCache(num_layers=2, capacity=20)
    states = torch.arange(2 * 20 * 4.0).reshape(1, 2, 20, 4)
    for index in range(2):
        cache.update(states + index, -states - index, index)
    rows = sorted(start + offset for offset in offsets)
    before = cache.buffer.clone()
    cache.keep(start, rows)
    assert cache.length == start + len(rows)
    expected = before[..., [*range(start), *rows], :]
    assert torch.equal(cache.buffer[..., : cache.length, :], expected)


def test_one_allocation_serves_all_layers_and_rounds():
    cache = TreeCache(num_layers=3, capacity=16)
    for round_start in (0, 4, 8):
        for index in range(3):
            keys, _ = cache.update(torch.ones(1, 2, 4, 4), torch.ones(1, 2, 4, 4), index)
            assert keys.data_ptr() == cache.buffer[2 * index].data_ptr()
        assert cache.length == round_start + 4
    cache.rewind(3)
    assert cache.get_seq_length() == 3


def test_beyond_its_capacity_it_fails_instead_of_overwriting():
    cache = TreeCache(num_layers=1, capacity=4)
    with pytest.raises(RuntimeError):
        cache.update(torch.ones(1, 2, 5, 4), torch.ones(1, 2, 5, 4), 0)
