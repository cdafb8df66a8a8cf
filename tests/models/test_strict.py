"""Forward passes over trees with the bits of plain decoding."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import DynamicCache

from dynatree.errors import DynatreeError
from dynatree.models.path_cache import Nodes, PathAttention, PathCache
from dynatree.models.runner import ModelRunner
from dynatree.models.strict import StrictModel
from dynatree.tree import TokenTree
from tests.support.models import tiny_model
from tests.support.strategies import KINDS

HALF = (torch.bfloat16, torch.float16)


def random_tree(draw_parents: list[float]) -> TokenTree:
    """Return a tree with one node for each number, which chooses among the nodes of the level above."""
    tree, levels, rest = TokenTree(5, len(draw_parents)), [[0]], list(draw_parents)
    while rest:
        size = min(len(rest), 1 + int(rest[0] * 4))
        chosen, rest = rest[:size], rest[size:]
        parents = sorted(levels[-1][int(share * len(levels[-1]))] for share in chosen)
        levels.append(tree.add_level(parents, range(len(parents)), [0.0] * size))
    return tree


class CoupledLinear(nn.Linear):
    """A layer whose output depends on the number of its rows."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + 0.05 * (input.shape[-2] - 1)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("kind", KINDS)
@given(shares=st.lists(st.floats(0, 0.999), max_size=20), pick=st.floats(0, 0.999))
@torch.inference_mode()
def test_logits_and_kept_entries_are_those_of_plain_decoding(kind, dtype, shares, pick):
    model, prompt, tree = tiny_model(kind).to(dtype), [4, 8, 8, 1, 6], random_tree(shares)
    runner = ModelRunner(model, "target", 64, strict=StrictModel(model, 21))
    runner.forward(prompt, range(5), last_only=True)
    logits = runner.forward(
        tree.tokens, [5 + depth for depth in tree.depths], tree.ancestors if len(tree) > 1 else None
    )
    node = int(pick * len(tree))
    path = tree.ancestors[node].nonzero().flatten().tolist()
    cache = DynamicCache(config=model.config)
    model(torch.tensor([prompt]), past_key_values=cache)
    for one in path:
        expected = model(torch.tensor([[tree.tokens[one]]]), past_key_values=cache).logits[0, -1]
    assert torch.equal(logits[node], expected)
    runner.cache.keep(6, [5 + one for one in path[1:]])
    assert isinstance(runner.cache, PathCache) and runner.cache.buffer is not None
    plain = torch.stack([tensor for layer in cache.layers for tensor in (layer.keys, layer.values)])
    assert torch.equal(runner.cache.buffer[..., : runner.length, :], plain)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("length", [1, 7, 500, 511, 512, 513, 1030])
@torch.inference_mode()
def test_the_attention_of_a_node_is_that_of_one_query_over_its_path(length, dtype):
    random = torch.Generator().manual_seed(length)
    tree = random_tree([0.1, 0.9, 0.5, 0.3, 0.99, 0.2, 0.7, 0.0, 0.6])
    cache = PathCache(1, length + 40)
    text = torch.randn(2, 1, 2, length, 8, generator=random).to(dtype)
    cache.layers[0].update(*text)
    order = cache.place(tree.ancestors, len(tree))
    states = torch.randn(2, 1, 2, len(tree), 8, generator=random).to(dtype)  # of the nodes in depth-first order
    query = torch.randn(1, 6, len(tree), 8, generator=random).to(dtype)
    found = PathAttention([Nodes(cache, 0, len(tree))]).attention(0, query, *states, None)
    for row, node in enumerate(order):
        path = [order.index(one) for one in tree.ancestors[node].nonzero().flatten().tolist()]
        keys, values = torch.cat([text, states[..., path, :]], dim=3)
        expected = nn.functional.scaled_dot_product_attention(query[:, :, [row]], keys, values, enable_gqa=True)
        assert torch.equal(found[:, row], expected[:, :, 0])


@pytest.mark.parametrize("dtype", HALF)
@torch.inference_mode()
def test_a_layer_that_depends_on_the_width_is_named(dtype):
    model = tiny_model("llama").to(dtype)
    model.model.layers[1].mlp.down_proj.__class__ = CoupledLinear
    StrictModel(model, 1)
    with pytest.raises(DynatreeError, match=r"layer 'model.layers.1.mlp.down_proj' .* over 2 tokens"):
        StrictModel(model, 2)


@torch.inference_mode()
def test_a_change_of_the_layers_is_checked_again():
    model = tiny_model("llama").bfloat16()
    StrictModel(model, 2)
    model.lm_head.__class__ = CoupledLinear
    with pytest.raises(DynatreeError, match="layer 'lm_head'"):
        StrictModel(model, 2)
