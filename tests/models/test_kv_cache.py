"""The preallocated cache of one request."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dynatree.models.kv_cache import TreeCache


@given(st.integers(0, 8), st.sets(st.integers(0, 11), max_size=12))
def test_keep_equals_indexing(start, offsets):
    cache = TreeCache(num_layers=2, capacity=20)
    states = torch.arange(2 * 20 * 4.0).reshape(1, 2, 20, 4)
    for index in range(2):
        cache.update(states + index, -states - index, index)
    entries = sorted(start + offset for offset in offsets)
    before = cache.buffer.clone()
    cache.keep(start, entries)
    assert cache.length == start + len(entries)
    expected = before[..., [*range(start), *entries], :]
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


def test_a_pass_beyond_the_capacity_fails_instead_of_overwriting():
    cache = TreeCache(num_layers=1, capacity=4)
    with pytest.raises(RuntimeError):
        cache.update(torch.ones(1, 2, 5, 4), torch.ones(1, 2, 5, 4), 0)
