"""Helpers to write LLVM IR: loops, addresses and intrinsics."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from llvmlite import ir

VOID, BYTE, I32, I64, F32 = ir.VoidType(), ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
POINTER = ir.PointerType()


@dataclass
class Loop:
    """A counted loop: its index, the carried values at its head, those of the next turn, and those after it."""

    index: ir.Value
    values: list
    next: list
    results: list


@contextmanager
def loop(builder: ir.IRBuilder, start: ir.Value, stop: ir.Value, step: ir.Value, carried=()) -> Iterator[Loop]:
    """Build a loop over range(start, stop, step) around the code of the block."""
    before = builder.block
    body, after = (builder.append_basic_block() for _ in range(2))
    builder.cbranch(builder.icmp_signed("<", start, stop), body, after)
    builder.position_at_end(body)
    index, *values = [builder.phi(value.type) for value in (start, *carried)]
    built = Loop(index, values, list(values), [])
    yield built
    end = builder.block
    advanced = builder.add(index, step)
    builder.cbranch(builder.icmp_signed("<", advanced, stop), body, after)
    for phi, first, later in zip((index, *values), (start, *carried), (advanced, *built.next), strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, end)
    builder.position_at_end(after)
    for first, later in zip(carried, built.next, strict=True):
        result = builder.phi(first.type)
        result.add_incoming(first, before)
        result.add_incoming(later, end)
        built.results.append(result)


def at(builder: ir.IRBuilder, address: ir.Value, index: ir.Value, kind: ir.Type) -> ir.Value:
    """Return the address of element ``index`` of an array of ``kind``."""
    return builder.gep(address, [index], source_etype=kind)


def smaller(builder: ir.IRBuilder, one: ir.Value, other: ir.Value) -> ir.Value:
    """Return the smaller of two signed integers."""
    return builder.select(builder.icmp_signed("<", one, other), one, other)


def intrinsic(module: ir.Module, name: str, kind: ir.Type, types: list, returns: ir.Type | None = None) -> ir.Function:
    """Declare an intrinsic of LLVM that is overloaded by ``kind``."""
    suffix = f"v{kind.count}f32" if isinstance(kind, ir.VectorType) else "f32"
    full = f"{name}.{suffix}"
    return module.globals.get(full) or ir.Function(module, ir.FunctionType(returns or kind, types), full)


def call_in_threads(
    module: ir.Module, builder: ir.IRBuilder, function: ir.Value, operands: Sequence[ir.Value], threads: ir.Value
) -> None:
    """Call ``function(address of the operands)`` in ``threads`` threads of the OpenMP pool; wait for all of them."""
    signature = ir.FunctionType(VOID, [POINTER, POINTER, I32, I32])
    parallel = module.globals.get("GOMP_parallel") or ir.Function(module, signature, "GOMP_parallel")
    places = builder.alloca(I64, len(operands))
    for index, operand in enumerate(operands):
        builder.store(_word(builder, operand), at(builder, places, I64(index), I64))
    builder.call(parallel, [function, places, threads, I32(0)])


def given_operands(builder: ir.IRBuilder, places: ir.Value, types: tuple[ir.Type, ...]) -> list[ir.Value]:
    """Return the operands of :func:`call_in_threads` in a thread."""
    return [builder.load(at(builder, places, I64(index), I64), typ=kind) for index, kind in enumerate(types)]


def share_of_thread(module: ir.Module, builder: ir.IRBuilder, count: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Return the first task of this thread and that of the next one, of ``count`` tasks."""
    thread, threads = (
        builder.sext(
            builder.call(module.globals.get(name) or ir.Function(module, ir.FunctionType(I32, []), name), []), I64
        )
        for name in ("omp_get_thread_num", "omp_get_num_threads")
    )
    first, end = (builder.sdiv(builder.mul(count, index), threads) for index in (thread, builder.add(thread, I64(1))))
    return first, end


def _word(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Return the bits of a value as an integer of 64 bits."""
    if value.type == F32:
        return builder.zext(builder.bitcast(value, I32), I64)
    return builder.ptrtoint(value, I64) if isinstance(value.type, ir.PointerType) else value
