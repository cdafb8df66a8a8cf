"""Attention with split keys, which Triton interprets on a CPU, equals attention under a mask."""

import random

import pytest
import torch

from dynatree import ModelPair, generate, use_graphs
from dynatree.models.ancestor_words import AncestorWords, pack_words
from dynatree.models.runner import ModelRunner
from dynatree.tree import TokenTree
from tests.support.models import disturbed, reference, tiny_model

pytest.importorskip("triton")
split = pytest.importorskip("dynatree.models.kernels.split_attention")
ENTRIES = 300


@pytest.fixture(autouse=True)
def _few_programs(monkeypatch):
    """An interpreted program takes milliseconds."""
    monkeypatch.setattr(split, "MAX_SPLITS", 2)


def random_tree(nodes: int, seed: int = 0) -> torch.Tensor:
    """Return the ancestors of a random tree."""
    chance, tree = random.Random(seed), TokenTree(0, nodes)
    while len(tree) < nodes:
        level = [node for node in range(len(tree)) if tree.depths[node] == tree.depth]
        tree.add_nodes([chance.choice(level) for _ in range(min(chance.randint(1, 9), nodes - len(tree)))])
    return tree.ancestors


def words_of(visible: torch.Tensor | None, new: int, length: int, width: int) -> AncestorWords:
    return AncestorWords(*pack_words(visible, length, width, new))


def states(heads: int, kv_heads: int, n: int, head_dim: int, width: int, dtype: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    sizes = ((heads, n, head_dim), (kv_heads, ENTRIES, head_dim), (kv_heads, ENTRIES, width))
    return [torch.randn(1, *size, generator=generator).to(dtype) for size in sizes]


def masked(query, keys, values, mask, scaling):
    """Return attention under a mask in float64, as [1, n, heads, width]."""
    attend = torch.nn.functional.scaled_dot_product_attention
    wide = [one.double() for one in (query, keys, values)]
    return attend(*wide, mask, scale=scaling, enable_gqa=True).transpose(1, 2)


@pytest.mark.parametrize(
    ("heads", "kv_heads", "new", "width", "length", "head_dim", "value_dim", "dtype"),
    [
        (2, 2, 1, 1, 5, 8, 8, torch.float32),
        (6, 2, 5, 8, 130, 80, 80, torch.float32),  # grouped heads, padded tokens, a head that is no power of two
        (2, 2, 20, 32, 200, 16, 24, torch.float32),  # values of another width
        (1, 1, 70, 128, 170, 16, 16, torch.float32),  # two words, and several blocks of query rows
        (4, 2, 9, 16, 233, 64, 64, torch.float16),
    ],
)
@pytest.mark.parametrize("shape", ["tree", "chain"])
def test_it_equals_attention_under_the_mask(heads, kv_heads, new, width, length, head_dim, value_dim, dtype, shape):
    visible = random_tree(new) if shape == "tree" else None
    words = words_of(visible, new, length, width)
    query, keys, values = states(heads, kv_heads, width, head_dim, value_dim, dtype)
    expected = masked(query, keys, values, words.mask(ENTRIES), 0.3)
    found = split.split_attention(query, keys, values, words, 0.3)
    assert found.shape == (1, width, heads, value_dim) and found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


def test_entries_after_the_text_are_not_read():
    words = words_of(random_tree(6), 6, 100, 8)
    query, keys, values = states(2, 2, 8, 16, 16, torch.float32)
    expected = split.split_attention(query, keys, values, words, None)
    keys[:, :, 106:], values[:, :, 106:] = torch.nan, torch.nan
    assert torch.equal(split.split_attention(query, keys, values, words, None), expected)


def test_the_level_of_a_draft_attends_to_its_ancestors_and_the_text():
    """The words then also hold earlier levels, whose entries precede the forward pass."""
    tree = random_tree(90, seed=4)
    words = words_of(tree[80:], 10, 210, 16)
    assert torch.equal(words.mask(ENTRIES)[0, 0, :10, 130:220], tree[80:])
    query, keys, values = states(2, 2, 16, 16, 16, torch.float32)
    expected = masked(query, keys, values, words.mask(ENTRIES), None)
    found = split.split_attention(query, keys, values, words, None)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def kernel_pair(kind: str) -> ModelPair:
    """Return a pair whose recorded forward passes, on a CPU plain calls, attend by the kernel."""
    target = tiny_model(kind, 1, layers=1)
    pair = use_graphs(ModelPair(target, disturbed(target)), lambda run: run)
    for model in pair.static.values():
        model.kernel = True
    return pair


@pytest.mark.parametrize(
    ("kind", "method", "options"), [("llama", "chain", {"length": 3}), ("gpt_neox", "dynatree", {"node_budget": 5})]
)
def test_recorded_passes_with_the_kernel_decode_exactly_and_make_no_mask(kind, method, options, monkeypatch):
    monkeypatch.setattr(AncestorWords, "mask", lambda *_: pytest.fail("a mask was made"))
    pair = kernel_pair(kind)
    out = generate(pair, [5, 9, 2, 7], method, 5, None, **options)
    assert out.tokens == reference(pair.target, [5, 9, 2, 7], 5, None)
    assert pair.static["target"].parts == [pair.static["target"].entries]


@torch.inference_mode()
def test_a_chain_takes_no_words(monkeypatch):
    pair, seen = kernel_pair("llama"), []
    runner = ModelRunner(pair.target, "target", 60, static=pair.static["target"])
    runner.forward([4, 5, 6, 7], range(4))
    found = split.split_attention
    monkeypatch.setattr(
        "dynatree.models.attention.split_attention",
        lambda *given: seen.append(given[3].scalars.tolist()) or found(*given),
    )
    runner.forward([8, 9, 10], [4, 5, 6], runner.ancestors(chain_of(3)))
    assert seen == [[0, 0, 7, 4]]


def chain_of(nodes: int) -> TokenTree:
    tree = TokenTree(0, nodes)
    for depth in range(nodes - 1):
        tree.add_level([depth], [depth + 1], [0.0])
    return tree
