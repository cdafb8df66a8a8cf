"""LLVM IR of a product of a few rows with wide weights in float32.

The weights keep torch's layout [outputs, k]. Each output is the sum over ``k`` of the same products in the same order,
whatever else the forward pass holds. A row of the result is therefore bit for bit independent of the other rows.

While a tile computes, it prefetches its share of the next weight rows. Memory and arithmetic units then work at the
same time.
"""

from typing import NamedTuple

from llvmlite import ir

from dynatree.models.kernels.ir_tools import (
    BYTE,
    F32,
    I32,
    I64,
    POINTER,
    VOID,
    at,
    call_in_threads,
    given_operands,
    loop,
    share_of_thread,
    smaller,
)
from dynatree.models.kernels.long_rows_ir import NEAR_FLOATS, share_of_long_rows
from dynatree.models.kernels.tile_ir import CACHE_LINE, FLOAT, Tile, prefetch

SINGLE_TILE = (8, 1)  # weight rows and tokens, for one token, where the hardware's own prefetching is better
FEW_TOKENS = 8  # more tokens outgrow the first-level cache, so that a tile needs more weight rows
AVX512_LANES = 16


class Operands(NamedTuple):
    """Arguments of the kernel, in their order."""

    weight: ir.Value  # address of [outputs, k]
    hidden: ir.Value  # address of [tokens, k]
    output: ir.Value  # address of [tokens, outputs]
    tokens: ir.Value
    outputs: ir.Value
    k: ir.Value


TYPES = (POINTER, POINTER, POINTER, I64, I64, I64)


def linear(module: ir.Module, lanes: int) -> None:
    """Define ``linear(weight, hidden, output, tokens, outputs, k, int32 threads)``.

    It runs ``threads`` threads of the OpenMP pool that provides ``GOMP_parallel``.

    Args:
        module: where to define it.
        lanes: float32 values in a vector register.
    """
    few_tokens, many_tokens = tiles_of(lanes)
    shares = {tile: _share(module, lanes, *tile) for tile in {SINGLE_TILE, few_tokens, many_tokens}}

    function = ir.Function(module, ir.FunctionType(VOID, [I64] * len(TYPES) + [I32]), "linear")
    builder = ir.IRBuilder(function.append_basic_block())
    *operands, threads = function.args
    tokens = Operands(*operands).tokens
    few = builder.icmp_signed("<=", tokens, I64(FEW_TOKENS))
    share = builder.select(few, shares[few_tokens], shares[many_tokens])
    if lanes == AVX512_LANES:  # with fewer registers, parts took longer
        states = builder.mul(smaller(builder, tokens, I64(few_tokens[1])), Operands(*operands).k)
        single_row = module.globals[f"block_1_{few_tokens[1]}"]
        long_rows = share_of_long_rows(module, lanes, *few_tokens, TYPES, single_row)
        share = builder.select(builder.icmp_signed(">", states, I64(NEAR_FLOATS)), long_rows, share)
    share = builder.select(builder.icmp_signed("==", tokens, I64(1)), shares[SINGLE_TILE], share)
    call_in_threads(module, builder, share, operands, threads)
    builder.ret_void()


def tiles_of(lanes: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the weight rows and tokens of a tile for few and for many tokens: all sums, a token and its weights.

    AVX-512 has 32 registers, and AVX2 has 16.
    """
    return ((3, 8), (6, 4)) if lanes == AVX512_LANES else ((3, 4), (3, 4))


def _share(module: ir.Module, lanes: int, rows: int, tokens: int) -> ir.Function:
    """Define the work of one thread: a range of blocks of ``rows`` weight rows; the last thread adds the rest."""
    blocks_of = {height: _block(module, lanes, height, tokens) for height in (rows, 1)}
    function = ir.Function(module, ir.FunctionType(VOID, [POINTER]), f"share_{rows}_{tokens}")
    builder = ir.IRBuilder(function.append_basic_block())
    operands = Operands(*given_operands(builder, function.args[0], TYPES))
    blocks = builder.sdiv(operands.outputs, I64(rows))
    first, end = share_of_thread(module, builder, blocks)
    with loop(builder, first, end, I64(1)) as block:
        builder.call(blocks_of[rows], [*operands, builder.mul(block.index, I64(rows))])
    with (
        builder.if_then(builder.icmp_signed("==", end, blocks)),
        loop(builder, builder.mul(blocks, I64(rows)), operands.outputs, I64(1)) as row,
    ):
        builder.call(blocks_of[1], [*operands, row.index])
    builder.ret_void()
    return function


def _block(module: ir.Module, lanes: int, rows: int, tokens: int) -> ir.Function:
    """Define the product of ``rows`` weight rows from ``row`` on with all tokens, in tiles of up to ``tokens``."""
    tiles = [_tile(module, lanes, rows, width) for width in range(1, tokens + 1)]
    function = ir.Function(module, ir.FunctionType(VOID, [*TYPES, I64]), f"block_{rows}_{tokens}")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    operands, row = Operands(*function.args[:-1]), function.args[-1]
    count = builder.sdiv(builder.add(operands.tokens, I64(tokens - 1)), I64(tokens))
    # Bytes that a tile prefetches for each float of k, so that all tiles of a block together fetch the next block.
    stride = builder.sdiv(builder.add(I64(FLOAT * rows - 1), count), count)
    next_block = at(builder, operands.weight, builder.mul(builder.add(row, I64(rows)), operands.k), F32)

    def multiply(start: ir.Value, width: int) -> None:
        done = builder.mul(builder.mul(builder.sdiv(start, I64(tokens)), stride), operands.k)
        builder.call(
            tiles[width - 1],
            [
                at(builder, operands.weight, builder.mul(row, operands.k), F32),
                at(builder, operands.hidden, builder.mul(start, operands.k), F32),
                at(builder, operands.output, builder.add(builder.mul(start, operands.outputs), row), F32),
                operands.k,
                operands.outputs,
                at(builder, next_block, done, BYTE),
                stride,
            ],
        )

    rest = builder.srem(operands.tokens, I64(tokens))
    full = builder.sub(operands.tokens, rest)
    with loop(builder, I64(0), full, I64(tokens)) as start:
        multiply(start.index, tokens)
    for width in range(1, tokens):
        with builder.if_then(builder.icmp_signed("==", rest, I64(width))):
            multiply(full, width)
    builder.ret_void()
    return function


def _tile(module: ir.Module, lanes: int, rows: int, tokens: int) -> ir.Function:
    """Define the product of ``rows`` weight rows with ``tokens`` tokens."""
    name = f"tile_{rows}_{tokens}"
    if name in module.globals:
        return module.globals[name]
    types = [POINTER, POINTER, POINTER, I64, I64, POINTER, I64]
    function = ir.Function(module, ir.FunctionType(VOID, types), name)
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    weight, hidden, output, k, outputs, ahead, stride = function.args
    tile = Tile(builder, lanes, weight, hidden, k, rows, tokens)
    lines = 0 if (rows, tokens) == SINGLE_TILE else -(-rows * lanes * FLOAT // CACHE_LINE)

    def fetch(column: ir.Value) -> None:
        share = at(builder, ahead, builder.mul(column, stride), BYTE)
        for line in range(lines):
            prefetch(builder, at(builder, share, I64(line * CACHE_LINE), BYTE))

    whole = builder.and_(k, I64(-lanes))
    tile.finish(tile.add_products(whole, tile.zeros, fetch), whole, output, outputs)
    builder.ret_void()
    return function
