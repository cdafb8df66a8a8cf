"""Attention of a few tokens to the entries of a cache by our kernel, in float32 on a CPU."""

import math

import torch

from dynatree.models.kernels.library import kernels
from dynatree.models.layout import compressed_cache

HEAD_MULTIPLE = 16  # the kernel reads heads in whole vectors, of up to 16 values


def serves_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None) -> bool:
    """Return True if the kernel serves the attention of one request; for the arguments see :func:`attend`."""
    head_dim, n = query.shape[3], query.shape[2]
    if len(query) > 1 or head_dim % HEAD_MULTIPLE or compressed_cache() is not None:
        return False
    if not query.stride(3) == key.stride(3) == value.stride(3) == 1 or key.stride()[1:] != value.stride()[1:]:
        return False
    if key.stride(2) != head_dim or value.shape != key.shape:
        return False
    if mask is None:
        return n == 1
    return mask.dtype is torch.bool and mask.shape == (1, 1, n, key.shape[2]) and mask.stride(3) == 1


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float
) -> torch.Tensor:
    """Return scaled dot-product attention [1, n, heads, head_dim].

    Args:
        query: [1, heads, n, head_dim].
        key, value: [1, kv_heads, length, head_dim], the entries of a head consecutive.
        mask: boolean [1, 1, n, length], True for visible entries; None if all are visible.
        scaling: factor of the scores.
    """
    _, heads, n, head_dim = query.shape
    kv_heads, length = key.shape[1:3]
    threads = torch.get_num_threads()
    output = query.new_empty(1, n, heads, head_dim)
    scratch = query.new_empty(heads * n * (head_dim + length))
    scores = scratch.data_ptr() + scratch.itemsize * heads * n * head_dim
    parts = threads // math.gcd(kv_heads, threads)  # the same number of tasks for each thread
    hidden, row = (0, 0) if mask is None else (mask.data_ptr(), mask.stride(2))
    kernels().attention(
        *(query.data_ptr(), key.data_ptr(), value.data_ptr(), hidden, output.data_ptr(), scratch.data_ptr(), scores),
        *(n, heads, kv_heads, length, head_dim, parts),
        *(query.stride(1), query.stride(2), key.stride(1), row, scaling, threads),
    )
    return output
