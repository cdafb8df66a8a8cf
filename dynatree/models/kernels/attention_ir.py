"""LLVM IR of the attention of a few tokens to the entries of a cache, in float32.

A task is a part of the query rows that share a key/value head: their scores by the tiles of ``linear_ir``, the softmax,
and the sum of the values in tiles that stay in vector registers. All threads have the same number of tasks.
"""

from typing import NamedTuple

from llvmlite import ir

from dynatree.models.kernels.elementwise_ir import SUM, exponential
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
    intrinsic,
    loop,
    share_of_thread,
)
from dynatree.models.kernels.linear_ir import AVX512_LANES, FLOAT, tiles_of

ROWS = 4  # query rows of a tile of the sum of values
HIDDEN = F32(float("-inf"))


class Operands(NamedTuple):
    """Arguments of the kernel, in their order: addresses, counts, distances in elements, factor of the scores."""

    query: ir.Value  # address of [heads, n, head_dim]
    key: ir.Value  # address of [kv_heads, length, head_dim]
    value: ir.Value  # address of [kv_heads, length, head_dim]
    mask: ir.Value  # address of bytes [n, length], 0 for hidden entries; 0 if all are visible
    output: ir.Value  # address of [n, heads, head_dim]
    packed: ir.Value  # scratch memory [heads, n, head_dim]
    scores: ir.Value  # scratch memory [heads, n, length]
    n: ir.Value
    heads: ir.Value
    kv_heads: ir.Value
    length: ir.Value  # entries, those of the new tokens included
    head_dim: ir.Value
    parts: ir.Value  # tasks of a key/value head
    query_head: ir.Value  # distance between the heads of queries
    query_token: ir.Value
    entry_head: ir.Value  # distance between the heads of keys and of values
    mask_row: ir.Value
    scale: ir.Value


TYPES = (*[POINTER] * 7, *[I64] * 10, F32)


def attention(module: ir.Module, lanes: int) -> None:
    """Define ``attention(*Operands, int32 threads)``, which calls functions of ``linear``.

    Args:
        module: where to define it.
        lanes: float32 values in a vector register.
    """
    share = _share(module, _task(module, lanes))
    function = ir.Function(module, ir.FunctionType(VOID, [*TYPES, I32]), "attention")
    builder = ir.IRBuilder(function.append_basic_block())
    *operands, threads = function.args
    call_in_threads(module, builder, share, operands, threads)
    builder.ret_void()


def _share(module: ir.Module, task: ir.Function) -> ir.Function:
    """Define the work of one thread: a range of tasks."""
    function = ir.Function(module, ir.FunctionType(VOID, [POINTER]), "share_of_attention")
    builder = ir.IRBuilder(function.append_basic_block())
    operands = Operands(*given_operands(builder, function.args[0], TYPES))
    first, end = share_of_thread(module, builder, builder.mul(operands.kv_heads, operands.parts))
    with loop(builder, first, end, I64(1)) as turn:
        builder.call(task, [*operands, turn.index])
    builder.ret_void()
    return function


def _task(module: ir.Module, lanes: int) -> ir.Function:
    """Define task ``index``: part ``index % parts`` of the query rows of key/value head ``index / parts``."""
    function = ir.Function(module, ir.FunctionType(VOID, [*TYPES, I64]), "attend")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    operands, index = Operands(*function.args[:-1]), function.args[-1]
    kv_head, part = builder.sdiv(index, operands.parts), builder.srem(index, operands.parts)
    rows = builder.mul(builder.sdiv(operands.heads, operands.kv_heads), operands.n)
    first, end = (
        builder.add(
            builder.mul(kv_head, rows), builder.sdiv(builder.mul(rows, builder.add(part, I64(one))), operands.parts)
        )
        for one in (0, 1)
    )
    entries = builder.mul(kv_head, operands.entry_head)
    _pack(builder, operands, first, end)
    _score(module, builder, operands._replace(key=at(builder, operands.key, entries, F32)), first, end, lanes)
    with loop(builder, first, end, I64(1)) as row:
        _softmax(module, builder, operands, row.index)
    _sum_values(module, builder, operands._replace(value=at(builder, operands.value, entries, F32)), first, end, lanes)
    builder.ret_void()
    return function


def _pack(builder: ir.IRBuilder, operands: Operands, first: ir.Value, end: ir.Value) -> None:
    """Copy the queries to consecutive rows; row ``head * n + token`` is the query of a token in a head."""
    with loop(builder, first, end, I64(1)) as row:
        head, token = builder.sdiv(row.index, operands.n), builder.srem(row.index, operands.n)
        place = builder.add(builder.mul(head, operands.query_head), builder.mul(token, operands.query_token))
        source = at(builder, operands.query, place, F32)
        target = at(builder, operands.packed, builder.mul(row.index, operands.head_dim), F32)
        with loop(builder, I64(0), operands.head_dim, I64(1)) as turn:
            value = builder.load(at(builder, source, turn.index, F32), typ=F32, align=FLOAT)
            builder.store(value, at(builder, target, turn.index, F32), align=FLOAT)


def _score(
    module: ir.Module, builder: ir.IRBuilder, operands: Operands, first: ir.Value, end: ir.Value, lanes: int
) -> None:
    """Multiply the queries with all keys, as a linear layer whose weights are the keys."""
    (height, tokens), _ = tiles_of(lanes)
    packed = at(builder, operands.packed, builder.mul(first, operands.head_dim), F32)
    scores = at(builder, operands.scores, builder.mul(first, operands.length), F32)
    count = builder.sub(end, first)
    whole = builder.sub(operands.length, builder.srem(operands.length, I64(height)))
    for start, stop, step in ((I64(0), whole, height), (whole, operands.length, 1)):
        block = module.globals[f"block_{step}_{tokens}"]
        with loop(builder, start, stop, I64(step)) as turn:
            builder.call(block, [operands.key, packed, scores, count, operands.length, operands.head_dim, turn.index])


def _softmax(module: ir.Module, builder: ir.IRBuilder, operands: Operands, row: ir.Value) -> None:
    """Replace the scores of a query row by their weights, which sum to one; hidden entries weigh nothing."""
    scores = at(builder, operands.scores, builder.mul(row, operands.length), F32)
    token = builder.srem(row, operands.n)
    mask = at(builder, operands.mask, builder.mul(token, operands.mask_row), BYTE)
    masked = builder.icmp_unsigned("!=", builder.ptrtoint(operands.mask, I64), I64(0))

    def scale(hides: bool) -> tuple[ir.Value, ir.Block]:
        with loop(builder, I64(0), operands.length, I64(1), [HIDDEN]) as turn:
            place = at(builder, scores, turn.index, F32)
            value = builder.fmul(builder.load(place, typ=F32, align=FLOAT), operands.scale)
            if hides:
                visible = builder.load(at(builder, mask, turn.index, BYTE), typ=BYTE)
                value = builder.select(builder.icmp_unsigned("!=", visible, BYTE(0)), value, HIDDEN)
            builder.store(value, place, align=FLOAT)
            greater = builder.fcmp_ordered(">", value, turn.values[0], flags=("nnan", "nsz"))
            turn.next[0] = builder.select(greater, value, turn.values[0], flags=("nnan", "nsz"))
        return turn.results[0], builder.block

    with builder.if_else(masked) as (then, otherwise):
        with then:
            largest = [scale(hides=True)]
        with otherwise:
            largest.append(scale(hides=False))
    maximum = builder.phi(F32)
    for value, block in largest:
        maximum.add_incoming(value, block)
    with loop(builder, I64(0), operands.length, I64(1), [F32(0.0)]) as turn:
        place = at(builder, scores, turn.index, F32)
        value = builder.load(place, typ=F32, align=FLOAT)
        power = exponential(builder, module, builder.fsub(value, maximum))
        power = builder.select(builder.fcmp_ordered("==", value, HIDDEN), F32(0.0), power)
        builder.store(power, place, align=FLOAT)
        turn.next[0] = builder.fadd(turn.values[0], power, flags=SUM)
    factor = builder.fdiv(F32(1.0), turn.results[0])
    with loop(builder, I64(0), operands.length, I64(1)) as turn:
        place = at(builder, scores, turn.index, F32)
        builder.store(builder.fmul(builder.load(place, typ=F32, align=FLOAT), factor), place, align=FLOAT)


def _sum_values(
    module: ir.Module, builder: ir.IRBuilder, operands: Operands, first: ir.Value, end: ir.Value, lanes: int
) -> None:
    """Write the weighted sums of the values of the query rows."""
    rest = builder.srem(builder.sub(end, first), I64(ROWS))
    full = builder.sub(end, rest)
    with loop(builder, first, full, I64(ROWS)) as turn:
        _sum_rows(module, builder, operands, turn.index, ROWS, lanes)
    for rows in range(1, ROWS):
        with builder.if_then(builder.icmp_signed("==", rest, I64(rows))):
            _sum_rows(module, builder, operands, full, rows, lanes)


def _sum_rows(
    module: ir.Module, builder: ir.IRBuilder, operands: Operands, first: ir.Value, rows: int, lanes: int
) -> None:
    """Write the sums of ``rows`` query rows, in tiles of some vectors of each row."""
    most = 4 if lanes == AVX512_LANES else 2  # 16 of 32 registers, or 8 of 16, hold sums
    done = I64(0)
    for vectors, width in ((most, lanes), (1, lanes), (1, 1)):
        end = builder.sub(operands.head_dim, builder.srem(operands.head_dim, I64(vectors * width)))
        with loop(builder, done, end, I64(vectors * width)) as column:
            _sum_tile(module, builder, operands, first, rows, column.index, vectors, width)
        done = end


def _sum_tile(
    module: ir.Module,
    builder: ir.IRBuilder,
    operands: Operands,
    first: ir.Value,
    rows: int,
    column: ir.Value,
    vectors: int,
    lanes: int,
) -> None:
    vector = ir.VectorType(F32, lanes)
    fused = intrinsic(module, "llvm.fma", vector, [vector] * 3)
    indices = [builder.add(first, I64(row)) for row in range(rows)]
    weights = [at(builder, operands.scores, builder.mul(index, operands.length), F32) for index in indices]
    with loop(builder, I64(0), operands.length, I64(1), [vector([0.0] * lanes)] * (rows * vectors)) as turn:
        entry = at(builder, operands.value, builder.add(builder.mul(turn.index, operands.head_dim), column), F32)
        values = [
            builder.load(at(builder, entry, I64(place * lanes), F32), typ=vector, align=FLOAT)
            for place in range(vectors)
        ]
        for row, address in enumerate(weights):
            weight = builder.load(at(builder, address, turn.index, F32), typ=F32, align=FLOAT)
            first_lane = builder.insert_element(ir.Constant(vector, ir.Undefined), weight, I32(0))
            spread = builder.shuffle_vector(first_lane, first_lane, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))
            for place, value in enumerate(values):
                sums = row * vectors + place
                turn.next[sums] = builder.call(fused, [spread, value, turn.values[sums]])
    for row, index in enumerate(indices):
        head, token = builder.sdiv(index, operands.n), builder.srem(index, operands.n)
        place = builder.mul(builder.add(builder.mul(token, operands.heads), head), operands.head_dim)
        target = at(builder, operands.output, builder.add(place, column), F32)
        for part in range(vectors):
            address = at(builder, target, I64(part * lanes), F32)
            builder.store(turn.results[row * vectors + part], address, align=FLOAT)
