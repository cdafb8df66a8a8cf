"""Attention that never copies grouped keys, registered with transformers under the name ``GROUPED``."""

import threading
from collections.abc import Iterator
from typing import NamedTuple

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig

from dynatree.errors import DynatreeError
from dynatree.models.ancestor_words import AncestorWords
from dynatree.models.layout import boolean_mask, compressed_cache, window_of
from dynatree.models.path_cache import PathAttention

try:
    from dynatree.models.kernels.split_attention import split_attention
except ImportError:  # Triton is missing
    split_attention = None

GROUPED = "dynatree_grouped"
# Arguments of attention layers that the mask holds already, or that serve other kernels.
WITHOUT_EFFECT = {
    *("sliding_window", "is_causal", "position_ids", "use_cache", "output_attentions", "output_hidden_states"),
    *("output_router_logits", "logits_to_keep", "return_dict", "cache_position", "deterministic"),
}
ALIGNED = 16  # elements between the rows of an additive mask, or CUDA kernels copy it
QUERIES_AT_ONCE = 128  # bounds the memory of attention weights over all entries


class HeadCounts(NamedTuple):
    """Number of layers, of query heads per layer, and of key/value heads per layer."""

    layers: int
    heads: int
    kv_heads: int


def head_counts(config: PretrainedConfig) -> HeadCounts:
    """Return the layers and heads of a model; without grouped keys it has as many key/value heads as query heads."""
    config = config.get_text_config(decoder=True)
    heads = config.num_attention_heads
    return HeadCounts(config.num_hidden_layers, heads, getattr(config, "num_key_value_heads", None) or heads)


def grouped_attention(
    module,
    query,
    key,
    value,
    attention_mask,
    scaling=None,
    dropout=0.0,
    softcap=None,
    s_aux=None,
    sinks=None,
    position_bias=None,
    **unused,
):
    """Return scaled dot-product attention without a copy of grouped keys and values.

    The query heads that share a key/value head become further query rows of that head. One stock kernel call then
    serves all of them.

    Args:
        module: attention layer of a transformers model.
        query: [batch, heads, n, head_dim].
        key: [batch, kv_heads, length, head_dim].
        value: [batch, kv_heads, length, width].
        attention_mask: boolean [batch, 1 or heads, n, length], or a :class:`LayerMask`, whose cache makes the mask;
            None where causal attention is right.
        scaling: factor of the scores.
        dropout: must be 0.
        softcap: bound of the scores, applied as ``softcap * tanh(scores / softcap)``.
        s_aux: [heads] score of an attention sink.
        sinks: [batch, heads, n, 1] scores of an attention sink.
        position_bias: [1 or batch, heads, n, length] added to the scores.
        **unused: further arguments, which must have no effect.

    Raises:
        DynatreeError: the model is in training mode, or passes an argument with an unknown effect.
    """
    if dropout:
        raise DynatreeError("the model is in training mode with dropout of attention; call model.eval() before")
    effective = [name for name, given in unused.items() if name not in WITHOUT_EFFECT and given is not None]
    if effective:
        raise DynatreeError(f"an attention layer passes {effective[0]}, which grouped attention does not apply")
    compressed = compressed_cache()
    if isinstance(compressed, PathAttention):
        if (softcap, s_aux, sinks, position_bias, window_of(attention_mask)) != (None,) * 5:
            raise DynatreeError(
                "exact='strict' serves attention over the complete text without sinks, bounds and biases of scores, "
                f"not that of a {type(module).__name__}; leave out exact"
            )
        return compressed.attention(module.layer_idx, query, key, value, scaling), None
    plain = (softcap, s_aux, sinks, position_bias) == (None,) * 4
    if plain and isinstance(compressed, AncestorWords) and split_attention and window_of(attention_mask) is None:
        return split_attention(query, key, value, compressed, scaling), None
    if compressed is not None:
        attention_mask = compressed.attend(module.layer_idx, query, key, scaling, window_of(attention_mask))
    if s_aux is not None:
        sinks = s_aux.reshape(1, -1, 1, 1).expand(len(query), -1, query.shape[2], -1)
    if softcap is None and sinks is None and position_bias is None:
        output = _attend(query, key, value, attention_mask, scaling)
    else:
        output = _attend_by_scores(query, key, value, attention_mask, scaling, softcap, sinks, position_bias)
    return output.transpose(1, 2).contiguous(), None


def has_kernel(device: torch.device) -> bool:
    """Return True if a kernel serves attention over a tree on a device without a mask."""
    return split_attention is not None and device.type == "cuda"


def _attend(query, key, value, mask: torch.Tensor | None, scaling: float | None) -> torch.Tensor:
    """Return the attention [batch, heads, n, width] by a stock kernel."""
    batch, heads, n, head_dim = query.shape
    kv_heads = key.shape[1]
    attend = torch.nn.functional.scaled_dot_product_attention
    if mask is None and n > 1:
        return attend(query, key, value, is_causal=True, scale=scaling, enable_gqa=heads != kv_heads)
    groups = heads // kv_heads
    rows = query.reshape(batch, kv_heads, groups * n, head_dim)
    if mask is not None:
        mask = _prepared(mask, groups, kv_heads, query.dtype)
    return attend(rows, key, value, attn_mask=mask, scale=scaling).reshape(batch, heads, n, -1)


def _attend_by_scores(query, key, value, mask, scaling, softcap, sinks, position_bias) -> torch.Tensor:
    """Return the attention [batch, heads, n, width] with what a stock kernel lacks, in the order of transformers."""
    batch, heads, n, head_dim = query.shape
    kv_heads, length = key.shape[1:3]
    groups = heads // kv_heads
    rows = query.reshape(batch, kv_heads, groups * n, head_dim)
    scores = rows @ key.transpose(2, 3) * (head_dim**-0.5 if scaling is None else scaling)
    scores = scores.view(batch, heads, n, length)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if position_bias is not None:
        scores = scores + position_bias
    if mask is None and n > 1:
        mask = torch.ones(n, length, dtype=torch.bool, device=query.device).tril()
    if mask is not None:
        if mask.shape[1:2] == (kv_heads,) and mask.ndim == 4:
            mask = mask.repeat_interleave(groups, dim=1)
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    if sinks is not None:
        scores = torch.cat((scores, sinks.to(scores.dtype)), dim=-1)
    weights = scores.softmax(-1, dtype=torch.float32)[..., :length].to(value.dtype)
    weights = weights.view(batch, kv_heads, groups * n, length)
    return (weights @ value).view(batch, heads, n, -1)


class _Latest(threading.local):
    mask: torch.Tensor | None = None
    key: tuple[int, int, torch.dtype] | None = None
    prepared: torch.Tensor | None = None


_latest = _Latest()


def _prepared(mask: torch.Tensor, groups: int, kv_heads: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the mask as the kernel takes it; layers with the same mask share it."""
    key = groups, kv_heads, dtype
    if _latest.mask is not mask or _latest.key != key or _latest.prepared is None:
        prepared = repeat_for_groups(mask, groups, kv_heads)
        _latest.prepared = additive(prepared, dtype) if mask.is_cuda else prepared
        _latest.mask, _latest.key = mask, key
    return _latest.prepared


def additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a mask to add to scores, whose rows are aligned, so that kernels on CUDA neither convert nor pad it.

    Args:
        mask: boolean [batch, heads, rows, length].
        dtype: format of the scores.
    """
    *sizes, length = mask.shape
    aligned = -(-length // ALIGNED) * ALIGNED
    values = torch.zeros(*sizes, aligned, dtype=dtype, device=mask.device)[..., :length]
    return values.masked_fill_(~mask, -torch.inf)


def repeat_for_groups(mask: torch.Tensor, groups: int, kv_heads: int) -> torch.Tensor:
    """Return the mask [batch, 1 or kv_heads, groups * n, length] of all query rows of a key/value head.

    Args:
        mask: boolean [batch, 1, n, length], or one mask for each key/value head or for each query head.
        groups: query heads of a key/value head.
        kv_heads: key/value heads.
    """
    if groups == 1:
        return mask
    if mask.shape[1] in (1, kv_heads):
        return mask.repeat(1, 1, groups, 1)
    batch, _, n, length = mask.shape
    return mask.reshape(batch, kv_heads, groups * n, length)


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
AttentionMaskInterface.register(GROUPED, boolean_mask)
