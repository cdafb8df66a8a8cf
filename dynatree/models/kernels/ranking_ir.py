"""LLVM IR of the search for the largest scores of each row, and of the logarithm of their exponentials' sum."""

from typing import NamedTuple

from llvmlite import ir

from dynatree.models.kernels.elementwise_ir import SUM, exponential
from dynatree.models.kernels.ir_tools import (
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
    smaller,
)

BLOCK = 64  # scores
MEAN_SHARE = F32(4 / 3)  # usual sum of the exponentials of a block over that of its maximum, where the best are not
FLOAT = 4  # bytes
LEAST, NOT_A_NUMBER = F32(float("-inf")), F32(float("nan"))
NO_NANS = ("nnan", "nsz")  # lets LLVM vectorize a maximum


class Operands(NamedTuple):
    """Arguments of the kernel, in their order."""

    scores: ir.Value  # address of [rows, width], whose values are the same afterwards
    maxima: ir.Value  # address of scratch memory [rows, blocks], rounded up
    ids: ir.Value  # address of int64 [rows, count]
    largest: ir.Value  # address of [rows, count]
    totals: ir.Value  # address of [rows], or 0
    rows: ir.Value
    width: ir.Value
    count: ir.Value  # at most the width
    margin: ir.Value  # blocks whose maximum is farther below the best score are estimated in the total


TYPES = (*[POINTER] * 5, *[I64] * 3, F32)


def rank(module: ir.Module) -> None:
    """Define ``rank(*Operands, int32 threads)``.

    ids and largest receive the largest scores, the smallest id first among equals. totals receives the logarithm of the
    sum of the exponentials of all scores; that of a block far below the best score is estimated from its maximum.
    Where a score is not a number, the first of the largest is none.
    """
    row = _row(module)
    share = ir.Function(module, ir.FunctionType(VOID, [POINTER]), "share_of_rank")
    builder = ir.IRBuilder(share.append_basic_block())
    operands = Operands(*given_operands(builder, share.args[0], TYPES))
    first, end = share_of_thread(module, builder, operands.rows)
    with loop(builder, first, end, I64(1)) as turn:
        builder.call(row, [*operands, turn.index])
    builder.ret_void()

    function = ir.Function(module, ir.FunctionType(VOID, [*TYPES, I32]), "rank")
    builder = ir.IRBuilder(function.append_basic_block())
    *arguments, threads = function.args
    call_in_threads(module, builder, share, arguments, threads)
    builder.ret_void()


def _row(module: ir.Module) -> ir.Function:
    """Define the search in row ``index``.

    A maximum is several times faster than one with its index, so only blocks with the largest maxima are searched.
    """
    block_maximum = _block_maximum(module)
    function = ir.Function(module, ir.FunctionType(VOID, [*TYPES, I64]), "rank_row")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    one, index = Operands(*function.args[:-1]), function.args[-1]
    blocks = builder.sdiv(builder.add(one.width, I64(BLOCK - 1)), I64(BLOCK))
    scores = at(builder, one.scores, builder.mul(index, one.width), F32)
    maxima = at(builder, one.maxima, builder.mul(index, blocks), F32)
    first = builder.mul(index, one.count)
    ids, largest = at(builder, one.ids, first, I64), at(builder, one.largest, first, F32)

    with loop(builder, I64(0), blocks, I64(1)) as block:
        builder.call(block_maximum, [scores, maxima, one.width, block.index])
    with loop(builder, I64(0), one.count, I64(1)) as rank:
        place, value = _first_largest(builder, maxima, I64(0), blocks)
        start = builder.mul(place, I64(BLOCK))
        end = smaller(builder, builder.add(start, I64(BLOCK)), one.width)
        token, _ = _first_largest(builder, scores, start, end)
        builder.store(token, at(builder, ids, rank.index, I64), align=8)
        builder.store(value, at(builder, largest, rank.index, F32), align=FLOAT)
        builder.store(LEAST, at(builder, scores, token, F32), align=FLOAT)  # not found again
        builder.call(block_maximum, [scores, maxima, one.width, place])
    with loop(builder, I64(0), one.count, I64(1)) as rank:
        token = builder.load(at(builder, ids, rank.index, I64), typ=I64, align=8)
        value = builder.load(at(builder, largest, rank.index, F32), typ=F32, align=FLOAT)
        with builder.if_then(builder.fcmp_ordered(">", value, LEAST)):
            builder.store(value, at(builder, scores, token, F32), align=FLOAT)
        builder.call(block_maximum, [scores, maxima, one.width, builder.sdiv(token, I64(BLOCK))])

    best = builder.load(largest, typ=F32, align=FLOAT)
    with builder.if_then(builder.icmp_unsigned("!=", builder.ptrtoint(one.totals, I64), I64(0))):
        total = _total(module, builder, scores, maxima, one, blocks, best)
        builder.store(total, at(builder, one.totals, index, F32), align=FLOAT)
    with loop(builder, I64(0), one.width, I64(1), [I32(0)]) as turn:
        value = builder.load(at(builder, scores, turn.index, F32), typ=F32, align=FLOAT)
        turn.next[0] = builder.or_(turn.values[0], builder.zext(builder.fcmp_unordered("uno", value, value), I32))
    wrong = builder.icmp_unsigned("!=", turn.results[0], I32(0))
    builder.store(builder.select(wrong, NOT_A_NUMBER, best), largest, align=FLOAT)
    builder.ret_void()
    return function


def _total(
    module: ir.Module,
    builder: ir.IRBuilder,
    scores: ir.Value,
    maxima: ir.Value,
    one: Operands,
    blocks: ir.Value,
    best: ir.Value,
) -> ir.Value:
    """Return the logarithm of the sum of the exponentials of a row."""
    block_total, far = _block_total(module), builder.fsub(best, one.margin)
    with loop(builder, I64(0), blocks, I64(1), [F32(0.0)]) as block:
        maximum = builder.load(at(builder, maxima, block.index, F32), typ=F32, align=FLOAT)
        share = builder.select(builder.fcmp_ordered("<", maximum, far), MEAN_SHARE, F32(0.0))
        power = exponential(builder, module, builder.fsub(maximum, best))
        block.next[0] = builder.fadd(block.values[0], builder.fmul(power, share), flags=SUM)
    with loop(builder, I64(0), blocks, I64(1), block.results) as block:
        maximum, before = builder.load(at(builder, maxima, block.index, F32), typ=F32, align=FLOAT), builder.block
        with builder.if_then(builder.fcmp_unordered(">=", maximum, far)):
            power, added = builder.call(block_total, [scores, one.width, block.index, best]), builder.block
        value = builder.phi(F32)
        value.add_incoming(F32(0.0), before)
        value.add_incoming(power, added)
        block.next[0] = builder.fadd(block.values[0], value)
    logarithm = builder.call(intrinsic(module, "llvm.log", F32, [F32]), block.results)
    return builder.fadd(best, logarithm)


def _block_total(module: ir.Module) -> ir.Function:
    """Define the sum of the exponentials of the scores of block ``place``, each over that of ``best``."""
    function = ir.Function(module, ir.FunctionType(F32, [POINTER, I64, I64, F32]), "block_total")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    scores, width, place, best = function.args
    start = builder.mul(place, I64(BLOCK))
    with loop(builder, start, smaller(builder, builder.add(start, I64(BLOCK)), width), I64(1), [F32(0.0)]) as turn:
        value = builder.load(at(builder, scores, turn.index, F32), typ=F32, align=FLOAT)
        power = exponential(builder, module, builder.fsub(value, best))
        turn.next[0] = builder.fadd(turn.values[0], power, flags=SUM)
    builder.ret(turn.results[0])
    return function


def _block_maximum(module: ir.Module) -> ir.Function:
    """Define the update of the maximum of block ``place``."""
    function = ir.Function(module, ir.FunctionType(VOID, [POINTER, POINTER, I64, I64]), "block_maximum")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    scores, maxima, width, place = function.args
    start = builder.mul(place, I64(BLOCK))
    with loop(builder, start, smaller(builder, builder.add(start, I64(BLOCK)), width), I64(1), [LEAST]) as turn:
        value = builder.load(at(builder, scores, turn.index, F32), typ=F32, align=FLOAT)
        greater = builder.fcmp_ordered(">", value, turn.values[0], flags=NO_NANS)
        turn.next[0] = builder.select(greater, value, turn.values[0], flags=NO_NANS)
    builder.store(turn.results[0], at(builder, maxima, place, F32), align=FLOAT)
    builder.ret_void()
    return function


def _first_largest(
    builder: ir.IRBuilder, values: ir.Value, start: ir.Value, end: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """Return the index and the value of the first of the largest values from ``start`` to ``end``."""
    with loop(builder, start, end, I64(1), [start, LEAST]) as turn:
        value = builder.load(at(builder, values, turn.index, F32), typ=F32, align=FLOAT)
        greater = builder.fcmp_ordered(">", value, turn.values[1])
        turn.next[:] = [
            builder.select(greater, new, old) for new, old in zip((turn.index, value), turn.values, strict=True)
        ]
    index, value = turn.results
    return index, value
