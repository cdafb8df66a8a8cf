"""Helpers to write LLVM IR: loops, addresses and intrinsics."""

from collections.abc import Iterator
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


def intrinsic(module: ir.Module, name: str, kind: ir.Type, types: list, returns: ir.Type | None = None) -> ir.Function:
    """Declare an intrinsic of LLVM that is overloaded by ``kind``."""
    suffix = f"v{kind.count}f32" if isinstance(kind, ir.VectorType) else "f32"
    full = f"{name}.{suffix}"
    return module.globals.get(full) or ir.Function(module, ir.FunctionType(returns or kind, types), full)
