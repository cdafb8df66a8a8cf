"""LLVM IR of a product whose states outgrow the first-level cache, in parts of the columns.

A group of blocks of weight rows takes one part of the columns after the other. The states of a part then stay in the
first-level cache for the complete group, and the sums of the group wait in memory.
"""

from llvmlite import ir

from dynatree.models.kernels.ir_tools import F32, I64, POINTER, VOID, at, given_operands, loop, share_of_thread, smaller
from dynatree.models.kernels.tile_ir import FLOAT, Tile, prefetch

NEAR_FLOATS = 5120  # states that stay in the first-level cache beside the weights
PART = 640  # columns of a part, or fewer
GROUP = 16  # blocks


def share_of_long_rows(
    module: ir.Module, lanes: int, rows: int, tokens: int, types: tuple[ir.Type, ...], single_row: ir.Function
) -> ir.Function:
    """Define the work of one thread: a range of groups of blocks; the last thread adds the rest.

    Args:
        module: where to define it.
        lanes: float32 values in a vector register.
        rows: weight rows of a block.
        tokens: tokens of a tile.
        types: of the operands of a product.
        single_row: multiplies one weight row with all tokens.
    """
    multiply = _group(module, lanes, rows, tokens, types)
    function = ir.Function(module, ir.FunctionType(VOID, [POINTER]), f"share_of_long_rows_{rows}_{tokens}")
    builder = ir.IRBuilder(function.append_basic_block())
    operands = given_operands(builder, function.args[0], types)
    outputs = operands[4]
    blocks = builder.sdiv(outputs, I64(rows))
    first, end = share_of_thread(module, builder, blocks)
    with loop(builder, first, end, I64(GROUP)) as group:
        count = smaller(builder, builder.sub(end, group.index), I64(GROUP))
        builder.call(multiply, [*operands, builder.mul(group.index, I64(rows)), count])
    with (
        builder.if_then(builder.icmp_signed("==", end, blocks)),
        loop(builder, builder.mul(blocks, I64(rows)), outputs, I64(1)) as row,
    ):
        builder.call(single_row, [*operands, row.index])
    builder.ret_void()
    return function


def _group(module: ir.Module, lanes: int, rows: int, tokens: int, types: tuple[ir.Type, ...]) -> ir.Function:
    """Define the product of ``count`` blocks from weight row ``row`` on with all tokens."""
    tiles = [_tokens_of_group(module, lanes, rows, width) for width in range(1, tokens + 1)]
    function = ir.Function(module, ir.FunctionType(VOID, [*types, I64, I64]), f"group_{rows}_{tokens}")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    weight, hidden, output, n, outputs, k, row, count = function.args
    memory = builder.alloca(ir.ArrayType(F32, lanes), GROUP * rows * tokens)

    def multiply(start: ir.Value, width: int) -> None:
        states = at(builder, hidden, builder.mul(start, k), F32)
        results = at(builder, output, builder.add(builder.mul(start, outputs), row), F32)
        weights = at(builder, weight, builder.mul(row, k), F32)
        builder.call(tiles[width - 1], [weights, states, results, memory, count, outputs, k])

    rest = builder.srem(n, I64(tokens))
    full = builder.sub(n, rest)
    with loop(builder, I64(0), full, I64(tokens)) as start:
        multiply(start.index, tokens)
    for width in range(1, tokens):
        with builder.if_then(builder.icmp_signed("==", rest, I64(width))):
            multiply(full, width)
    builder.ret_void()
    return function


def _tokens_of_group(module: ir.Module, lanes: int, rows: int, tokens: int) -> ir.Function:
    """Define the product of ``count`` blocks with ``tokens`` tokens; their sums are kept in ``memory``."""
    add, finish = _add(module, lanes, rows, tokens), _finish(module, lanes, rows, tokens)
    types = [POINTER] * 4 + [I64] * 3
    function = ir.Function(module, ir.FunctionType(VOID, types), f"tokens_of_group_{rows}_{tokens}")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    weight, hidden, output, memory, count, outputs, k = function.args
    whole = builder.and_(k, I64(-lanes))
    parts = builder.sdiv(builder.add(whole, I64(PART - 1)), I64(PART))
    length = builder.and_(builder.add(builder.sdiv(whole, parts), I64(lanes - 1)), I64(-lanes))
    block_floats, sums = builder.mul(I64(rows), k), I64(rows * tokens * lanes)
    with loop(builder, I64(0), builder.mul(count, sums), I64(1)) as place:
        builder.store(F32(0.0), at(builder, memory, place.index, F32), align=FLOAT)
    with loop(builder, I64(0), whole, length) as part, loop(builder, I64(0), count, I64(1)) as block:
        columns = smaller(builder, builder.sub(whole, part.index), length)
        weights = at(builder, weight, builder.add(builder.mul(block.index, block_floats), part.index), F32)
        last = builder.icmp_signed("==", builder.add(block.index, I64(1)), count)
        next_part = at(builder, weight, builder.add(part.index, columns), F32)
        ahead = builder.select(last, next_part, at(builder, weights, block_floats, F32))
        states, place = at(builder, hidden, part.index, F32), builder.mul(block.index, sums)
        builder.call(add, [weights, states, at(builder, memory, place, F32), k, columns, ahead])
    with loop(builder, I64(0), count, I64(1)) as block:
        place, row = builder.mul(block.index, sums), builder.mul(block.index, I64(rows))
        weights = at(builder, weight, builder.mul(row, k), F32)
        results = at(builder, output, row, F32)
        builder.call(finish, [weights, hidden, at(builder, memory, place, F32), k, results, outputs])
    builder.ret_void()
    return function


def _add(module: ir.Module, lanes: int, rows: int, tokens: int) -> ir.Function:
    """Define the addition of the products of ``columns`` columns to the sums in ``memory``."""
    types = [POINTER] * 3 + [I64] * 2 + [POINTER]
    function = ir.Function(module, ir.FunctionType(VOID, types), f"add_part_{rows}_{tokens}")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    weight, hidden, memory, k, columns, ahead = function.args
    tile = Tile(builder, lanes, weight, hidden, k, rows, tokens)
    next_rows = [at(builder, ahead, builder.mul(I64(index), k), F32) for index in range(rows)]

    def fetch(column: ir.Value) -> None:
        for row in next_rows:
            prefetch(builder, at(builder, row, column, F32))

    tile.store(tile.add_products(columns, tile.load(memory), fetch), memory)
    builder.ret_void()
    return function


def _finish(module: ir.Module, lanes: int, rows: int, tokens: int) -> ir.Function:
    """Define the end of a product whose sums over all parts are in ``memory``."""
    types = [POINTER] * 3 + [I64, POINTER, I64]
    function = ir.Function(module, ir.FunctionType(VOID, types), f"finish_parts_{rows}_{tokens}")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    weight, hidden, memory, k, output, outputs = function.args
    tile = Tile(builder, lanes, weight, hidden, k, rows, tokens)
    tile.finish(tile.load(memory), builder.and_(k, I64(-lanes)), output, outputs)
    builder.ret_void()
    return function
