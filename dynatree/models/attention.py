"""Attention that never copies grouped keys, registered with transformers under a name of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

GROUPED = "dynatree_grouped"
QUERIES_AT_ONCE = 128  # whose attention to all rows is in memory while it is observed


def grouped_attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, compressed=None, **kwargs):
    """Scaled dot-product attention that never copies grouped keys and values.

    The query heads that share a key/value head are laid out as further query rows of that head, so one stock kernel
    call serves all of them. A cache that is passed along as ``compressed`` knows which rows of each layer and head the
    mask must leave out, and may want to see the attention.
    """
    # query: [1, heads, n, head_dim]; key, value: [1, kv_heads, length, head_dim]
    # mask: [1, 1 or kv_heads, n, length] or None
    if compressed is not None:
        attention_mask = compressed.attend(module.layer_idx, query, key, scaling)
    batch, heads, n, head_dim = query.shape
    kv_heads = key.shape[1]
    causal = attention_mask is None and n > 1
    if causal:
        output = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=heads != kv_heads
        )
    else:
        groups = heads // kv_heads
        rows = query.reshape(batch, kv_heads, groups * n, head_dim)
        mask = attention_mask if attention_mask is None else attention_mask.repeat(1, 1, groups, 1)
        output = torch.nn.functional.scaled_dot_product_attention(rows, key, value, attn_mask=mask, scale=scaling)
        output = output.reshape(batch, heads, n, head_dim)
    return output.transpose(1, 2).contiguous(), None


def attention_weights(
    query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scaling: float | None, rows: slice
) -> torch.Tensor:
    """Attention [kv_heads, rows, length] of some query rows in float32, averaged over the heads of each group.

    Args:
        query: [1, heads, n, head_dim].
        key: [1, kv_heads, length, head_dim], the new tokens' last.
        mask: boolean [1, 1 or kv_heads, n, length]; None for a causal one.
        scaling: of the products; None for the usual one.
        rows: of the queries.
    """
    _, heads, n, head_dim = query.shape
    kv_heads, length = key.shape[1:3]
    chosen = query[0, :, rows].float().view(kv_heads, heads // kv_heads, -1, head_dim)
    scores = chosen @ key[0].float()[:, None].transpose(2, 3)  # [kv_heads, group, rows, length]
    scores = scores * (head_dim**-0.5 if scaling is None else scaling)
    if mask is None:
        mask = torch.ones(1, 1, n, length, dtype=torch.bool, device=query.device).tril(length - n)
    scores = scores.masked_fill(~mask[0, :, None, rows], -torch.inf)
    return scores.softmax(dim=-1).mean(dim=1)


def latest_weights(
    query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scaling: float | None, most: int
) -> Iterator[torch.Tensor]:
    """The attention of the last ``most`` query rows, see :func:`attention_weights`, as many at once as memory bears."""
    new = query.shape[2]
    for start in range(new - min(new, most), new, QUERIES_AT_ONCE):
        yield attention_weights(query, key, mask, scaling, slice(start, min(start + QUERIES_AT_ONCE, new)))


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(GROUPED, sdpa_mask)


@contextmanager
def grouped(model: PreTrainedModel):
    """Let ``model`` attend without copying grouped keys; its own setting is restored afterwards."""
    before = model.config._attn_implementation
    model.config._attn_implementation = GROUPED
    try:
        yield
    finally:
        model.config._attn_implementation = before
