"""Attention that never copies grouped keys, registered with transformers under the name ``GROUPED``."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig, PreTrainedModel
from transformers.masking_utils import sdpa_mask

from dynatree.errors import DynatreeError

GROUPED = "dynatree_grouped"
QUERIES_AT_ONCE = 128  # bounds the memory of attention weights over all entries


class HeadCounts(NamedTuple):
    """Number of layers, of query heads per layer, and of key/value heads per layer."""

    layers: int
    heads: int
    kv_heads: int


def head_counts(config: PretrainedConfig) -> HeadCounts:
    """Return the layers and heads of a model; without grouped keys it has as many key/value heads as query heads."""
    heads = config.num_attention_heads
    return HeadCounts(config.num_hidden_layers, heads, getattr(config, "num_key_value_heads", None) or heads)


def grouped_attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, compressed=None, **kwargs):
    """Return scaled dot-product attention without a copy of grouped keys and values.

    The query heads that share a key/value head become further query rows of that head. One stock kernel call then
    serves all of them.

    Args:
        module: attention layer of a transformers model.
        query: [1, heads, n, head_dim].
        key, value: [1, kv_heads, length, head_dim].
        attention_mask: boolean [1, 1 or kv_heads, n or groups * n, length], see :func:`repeat_for_groups`; None where
            causal attention is right.
        scaling: factor of the scores.
        dropout: must be 0.
        compressed: object whose ``attend(layer, query, key, scaling)`` returns the mask of each layer instead, for
            example a compressed cache or a :class:`dynatree.heads.attention_tap.AttentionTap`.
    """
    if dropout:
        raise DynatreeError("the model is in training mode with dropout of attention; call model.eval() before")
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
        mask = attention_mask
        if mask is not None and mask.shape[2] == n:
            mask = mask.repeat(1, 1, groups, 1)
        output = torch.nn.functional.scaled_dot_product_attention(rows, key, value, attn_mask=mask, scale=scaling)
        output = output.reshape(batch, heads, n, head_dim)
    return output.transpose(1, 2).contiguous(), None


def repeat_for_groups(mask: torch.Tensor, config: PretrainedConfig) -> torch.Tensor:
    """Return the mask [batch, 1, groups * n, length] of all query rows of a key/value head, once for all layers.

    Args:
        mask: boolean [batch, 1, n, length].
        config: of the model.
    """
    counts = head_counts(config)
    return mask.repeat(1, 1, counts.heads // counts.kv_heads, 1)


def attention_weights(
    query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scaling: float | None, rows: slice
) -> torch.Tensor:
    """Return the attention of some query rows in float32: [kv_heads, group, rows, length], each row sums to one.

    Args:
        query: [1, heads, n, head_dim].
        key: [1, kv_heads, length, head_dim]; the keys of the ``n`` new tokens are the last.
        mask: boolean [1, 1 or kv_heads, n, length]; None for a causal one.
        scaling: factor of the scores; None for the usual one.
        rows: which of the ``n`` query rows.
    """
    _, heads, n, head_dim = query.shape
    kv_heads, length = key.shape[1:3]
    chosen = query[0, :, rows].float().view(kv_heads, heads // kv_heads, -1, head_dim)
    scores = chosen @ key[0].float()[:, None].transpose(2, 3)  # [kv_heads, group, rows, length]
    scores *= head_dim**-0.5 if scaling is None else scaling
    if mask is None:
        mask = torch.ones(1, 1, n, length, dtype=torch.bool, device=query.device).tril(length - n)
    return scores.masked_fill_(~mask[0, :, None, rows], -torch.inf).softmax(dim=-1)


def latest_weights(
    query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scaling: float | None, limit: int
) -> Iterator[torch.Tensor]:
    """Yield the attention of the last ``limit`` query rows, averaged over groups, in parts that fit in memory.

    Args:
        query, key, mask, scaling: see :func:`attention_weights`.
        limit: number of query rows at most.

    Yields:
        [kv_heads, rows, length] of up to ``QUERIES_AT_ONCE`` rows, in their order.
    """
    new = query.shape[2]
    for start in range(new - min(new, limit), new, QUERIES_AT_ONCE):
        rows = slice(start, min(start + QUERIES_AT_ONCE, new))
        yield attention_weights(query, key, mask, scaling, rows).mean(dim=1)


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(GROUPED, sdpa_mask)


@contextmanager
def grouped(model: PreTrainedModel) -> Iterator[None]:
    """Use :func:`grouped_attention` in ``model`` within the block, in this thread alone."""
    config = model.config
    if torch.compiler.is_compiling():  # a compiler traces the setting and undoes it
        before = config._attn_implementation
        config._attn_implementation = GROUPED
        try:
            yield
        finally:
            config._attn_implementation = before
        return
    _begin(config)
    try:
        yield
    finally:
        _end(config)


_guard = threading.Lock()
_users: dict[int, list[int]] = {}  # id of a configuration -> threads inside grouped(), once for each block


def _begin(config: PretrainedConfig) -> None:
    """Let the configuration name the grouped attention in this thread."""
    with _guard:
        threads = _users.setdefault(id(config), [])
        if not threads:
            config.__class__ = _by_thread(type(config))
        threads.append(threading.get_ident())


def _end(config: PretrainedConfig) -> None:
    with _guard:
        threads = _users[id(config)]
        threads.remove(threading.get_ident())
        if not threads:
            del _users[id(config)]
            setattr(config, "__class__", type(config).__mro__[1])  # noqa: B010  pyright rejects the assignment


@functools.cache
def _by_thread(kind: type[PretrainedConfig]) -> type[PretrainedConfig]:
    """Return a subclass of a configuration whose attention depends on the thread that reads it."""

    def read(self) -> str | None:
        inside = threading.get_ident() in _users.get(id(self), ())
        return GROUPED if inside else self._attn_implementation_internal

    attention: Any = kind._attn_implementation
    members = {"_attn_implementation": property(read, attention.fset), "__module__": kind.__module__}
    return cast(type[PretrainedConfig], type(kind.__name__, (kind,), members))
