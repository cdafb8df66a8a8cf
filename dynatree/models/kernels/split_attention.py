"""Attention of few tokens over many entries on a GPU: split keys, and no mask. Needs Triton.

Few tokens give a GPU few blocks of work, unless the entries are split, too. Each program therefore attends to a part of
the entries. A second kernel merges the parts by their log-sum-exp, as flash decoding does (Dao et al., 2023).
"""
# pyright: reportMissingImports=false, reportIndexIssue=false

import functools

import torch
import triton
import triton.language as tl

from dynatree.models.ancestor_words import AncestorWords

LOG2_E = 1.4426950408889634  # the kernels compute powers of two
MAX_SPLITS = 32
MAX_ROWS = 64  # query rows of a program
WAVES = 2  # programs for each multiprocessor
NOMINAL_PROCESSORS = 132  # of an H100, where the kernels are interpreted


def split_attention(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, words: AncestorWords, scaling: float | None
) -> torch.Tensor:
    """Return the attention of the tokens of a forward pass.

    Entries past the end of the text are not read. The shapes of all calls are those of the buffers, so a CUDA graph may
    repeat one for any text.

    Args:
        query: [1, heads, n, head_dim].
        keys: [1, kv_heads, entries, head_dim], the new tokens included.
        values: [1, kv_heads, entries, width].
        words: the entries that each token attends to.
        scaling: factor of the scores; None for the usual one.

    Returns:
        [1, n, heads, width].
    """
    _, heads, n, head_dim = query.shape
    kv_heads, width = keys.shape[1], values.shape[-1]
    rows = heads // kv_heads * n
    block_rows = min(MAX_ROWS, max(16, triton.next_power_of_2(rows)))
    blocks = kv_heads * triton.cdiv(rows, block_rows)
    splits = min(MAX_SPLITS, triton.next_power_of_2(triton.cdiv(WAVES * _processors(query.device), blocks)))
    output = query.new_empty(1, n, heads, width)
    partial = query.new_empty(splits, heads, n, width, dtype=torch.float32)
    log_sums = query.new_empty(splits, heads, n, dtype=torch.float32)
    block_width = max(16, triton.next_power_of_2(width))
    with torch.cuda.device_of(query):
        _attend_to_part[(kv_heads, triton.cdiv(rows, block_rows), splits)](
            *(query, keys, values, words.scalars, words.limits, words.bits, partial, log_sums),
            *((head_dim**-0.5 if scaling is None else scaling) * LOG2_E, n, heads // kv_heads, head_dim, width),
            *(query.stride(1), query.stride(2), query.stride(3), keys.stride(1), keys.stride(2)),
            *(values.stride(1), values.stride(2)),
            WORDS=words.bits.shape[1],
            ROWS=block_rows,
            ENTRIES=32 if query.dtype == torch.float32 else 64,
            HEAD_DIM=max(16, triton.next_power_of_2(head_dim)),
            WIDTH=block_width,
            num_stages=2,
        )
        _merge_parts[(n, heads)](partial, log_sums, output, width, SPLITS=splits, WIDTH=block_width)
    return output


@functools.cache
def _processors(device: torch.device) -> int:
    if device.type != "cuda":
        return NOMINAL_PROCESSORS
    return torch.cuda.get_device_properties(device).multi_processor_count


@triton.jit
def _attend_to_part(
    query,
    keys,
    values,
    scalars,
    limits,
    bits,
    partial,
    log_sums,
    scale,
    n,
    groups,
    head_dim,
    width,
    query_head,  # strides
    query_token,
    query_column,
    key_head,
    key_entry,
    value_head,
    value_entry,
    WORDS: tl.constexpr,
    ROWS: tl.constexpr,
    ENTRIES: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Attend to a part of the entries: one key/value head, and some of the query rows that share it."""
    kv_head, split, splits = tl.program_id(0), tl.program_id(2), tl.num_programs(2)
    start = tl.load(scalars).to(tl.int32)
    tree = tl.load(scalars + 1).to(tl.int32)
    end = tl.load(scalars + 2).to(tl.int32)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    is_row = rows < groups * n
    head, token = kv_head * groups + rows // n, rows % n
    column, out_column = tl.arange(0, HEAD_DIM), tl.arange(0, WIDTH)
    places = head[:, None] * query_head + token[:, None] * query_token + column[None, :] * query_column
    queries = tl.load(query + places, mask=is_row[:, None] & (column < head_dim)[None, :], other=0.0)
    limit = tl.load(limits + token, mask=is_row, other=0).to(tl.int32)
    largest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    output = tl.zeros([ROWS, WIDTH], tl.float32)
    size = tl.cdiv(tl.cdiv(end, splits), ENTRIES) * ENTRIES
    last = tl.minimum((split + 1) * size, end)
    for first in range(split * size, last, ENTRIES):
        entry = first + tl.arange(0, ENTRIES)
        is_entry = entry < last
        key = tl.load(
            keys + kv_head * key_head + entry[None, :] * key_entry + column[:, None],
            mask=is_entry[None, :] & (column < head_dim)[:, None],
            other=0.0,
        )
        value = tl.load(
            values + kv_head * value_head + entry[:, None] * value_entry + out_column[None, :],
            mask=is_entry[:, None] & (out_column < width)[None, :],
            other=0.0,
        )
        visible = entry[None, :] < limit[:, None]
        if (tree > 0) & (first + ENTRIES > start):
            bit = entry - start
            in_tree = (bit >= 0) & (bit < tree)
            word = tl.load(
                bits + token[:, None] * WORDS + (bit // 64)[None, :], mask=is_row[:, None] & in_tree[None, :], other=0
            )
            shift = tl.where(in_tree, bit % 64, 0).to(tl.int64)
            visible = visible | (((word >> shift[None, :]) & 1) != 0)
        scores = tl.dot(queries, key, input_precision="ieee") * scale
        scores = tl.where(visible & is_entry[None, :], scores, float("-inf"))
        highest = tl.maximum(largest, tl.max(scores, 1))
        base = tl.where(highest == float("-inf"), 0.0, highest)
        weights = tl.exp2(scores - base[:, None])
        fade = tl.exp2(largest - base)
        total = total * fade + tl.sum(weights, 1)
        output = output * fade[:, None] + tl.dot(weights.to(value.dtype), value, input_precision="ieee")
        largest = highest
    is_empty = total == 0.0
    output = output / tl.where(is_empty, 1.0, total)[:, None]
    log_sum = tl.where(is_empty, float("-inf"), largest + tl.log2(tl.where(is_empty, 1.0, total)))
    heads = tl.num_programs(0) * groups
    place = (split * heads + head) * n + token
    tl.store(log_sums + place, log_sum, mask=is_row)
    tl.store(
        partial + place[:, None] * width + out_column[None, :],
        output,
        mask=is_row[:, None] & (out_column < width)[None, :],
    )


@triton.jit
def _merge_parts(partial, log_sums, output, width, SPLITS: tl.constexpr, WIDTH: tl.constexpr):
    """Merge the parts of one token and head: each counts by the sum of its weights."""
    token, head = tl.program_id(0), tl.program_id(1)
    n, heads = tl.num_programs(0), tl.num_programs(1)
    places = (tl.arange(0, SPLITS) * heads + head) * n + token
    column = tl.arange(0, WIDTH)
    log_sum = tl.load(log_sums + places)
    share = tl.exp2(log_sum - tl.max(log_sum, 0))
    parts = tl.load(partial + places[:, None] * width + column[None, :], mask=(column < width)[None, :], other=0.0)
    merged = tl.sum(parts * share[:, None], 0) / tl.sum(share, 0)
    tl.store(output + (token * heads + head) * width + column, merged.to(output.dtype.element_ty), mask=column < width)
