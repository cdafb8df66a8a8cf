"""LLVM IR of all decoder layers in one call, in float32.

Python then runs once in a forward pass instead of once in each layer.
"""

from typing import NamedTuple

from llvmlite import ir

from dynatree.models.kernels.ir_tools import F32, I32, I64, POINTER, VOID, at, loop


class Operands(NamedTuple):
    """Arguments of the kernel, in their order: addresses, counts, distances in floats, then the other numbers."""

    layers: ir.Value  # address of int64 [count, 6]: weights of norm, queries, projection, second norm, gate, down
    hidden: ir.Value  # address of [n, k], which the second of each two layers overwrites
    other: ir.Value  # address of [n, k], which the first of each two layers overwrites
    cos: ir.Value  # address of [n, head_dim]
    sin: ir.Value
    cache: ir.Value  # address of [count, 2, kv_heads, entries, head_dim], keys and values
    mask: ir.Value  # of the attention kernel
    scratch: ir.Value  # address of the memory of SCRATCH
    count: ir.Value
    n: ir.Value
    k: ir.Value
    heads: ir.Value
    kv_heads: ir.Value
    head_dim: ir.Value
    width: ir.Value  # of the feed-forward layer
    earlier: ir.Value  # entries in the cache
    parts: ir.Value  # of the attention kernel
    entry_head: ir.Value  # of the attention kernel
    mask_row: ir.Value
    scale: ir.Value
    epsilon: ir.Value
    threads: ir.Value


TYPES = (*[POINTER] * 8, *[I64] * 11, F32, F32, I32)
WEIGHTS = 6


def scratch_floats(n: int, k: int, heads: int, kv_heads: int, head_dim: int, width: int, entries: int) -> int:
    """Return the floats of scratch memory that ``decoder`` needs; ``entries`` include those of the new tokens."""
    return n * (k + (3 * heads + 2 * kv_heads) * head_dim + 3 * width + heads * entries)


def decoder(module: ir.Module) -> None:
    """Define ``decoder(*Operands)`` after its parts; the result is in ``other`` if the number of layers is odd."""
    function = ir.Function(module, ir.FunctionType(VOID, TYPES), "decoder")
    builder = ir.IRBuilder(function.append_basic_block())
    one = Operands(*function.args)
    query_width, kv_width = (builder.mul(heads, one.head_dim) for heads in (one.heads, one.kv_heads))
    outputs = builder.add(query_width, builder.mul(kv_width, I64(2)))
    entries = builder.add(one.earlier, one.n)
    sizes = (one.k, outputs, query_width, query_width, builder.mul(one.width, I64(2)), one.width)
    normed, states, attended, packed, both, product, scores = _divide(builder, one.scratch, one.n, sizes)
    layer_floats = builder.mul(builder.mul(one.kv_heads, one.entry_head), I64(2))
    turned_heads, half = builder.add(one.heads, one.kv_heads), builder.sdiv(one.head_dim, I64(2))
    with loop(builder, I64(0), one.count, I64(1), [one.hidden, one.other]) as layer:
        hidden, output = layer.values
        weights = at(builder, one.layers, builder.mul(layer.index, I64(WEIGHTS)), I64)
        norm, query, projection, second_norm, gate, down = (
            builder.load(at(builder, weights, I64(place), I64), typ=I64) for place in range(WEIGHTS)
        )
        key = at(builder, one.cache, builder.mul(layer.index, layer_floats), F32)
        value = at(builder, key, builder.mul(one.kv_heads, one.entry_head), F32)

        _call(module, builder, "before_attention", hidden, norm, query, one.cos, one.sin, normed, states,
             one.n, one.k, outputs, turned_heads, half, one.threads, one.epsilon)  # fmt: skip
        for place, target in ((query_width, key), (builder.add(query_width, kv_width), value)):
            _append(builder, one, at(builder, states, place, F32), outputs, target)
        _call(module, builder, "attention", states, key, value, one.mask, attended, packed, scores,
             one.n, one.heads, one.kv_heads, entries, one.head_dim, one.parts,
             one.head_dim, outputs, one.entry_head, one.mask_row, one.scale, one.threads)  # fmt: skip
        _call(module, builder, "after_attention", attended, hidden, projection, second_norm, gate, down,
             output, normed, both, product, one.n, one.k, query_width, one.width, one.threads, one.epsilon)  # fmt: skip
        layer.next[:] = [output, hidden]
    builder.ret_void()


def _divide(builder: ir.IRBuilder, memory: ir.Value, n: ir.Value, sizes: tuple[ir.Value, ...]) -> list[ir.Value]:
    """Return the addresses of arrays [n, size] that lie one after the other, and that of the rest of the memory."""
    addresses = [memory]
    for size in sizes:
        addresses.append(at(builder, addresses[-1], builder.mul(n, size), F32))
    return addresses


def _append(builder: ir.IRBuilder, one: Operands, states: ir.Value, row: ir.Value, target: ir.Value) -> None:
    """Copy the states [n, kv_heads, head_dim], ``row`` floats from token to token, behind the entries of a cache."""
    with loop(builder, I64(0), one.n, I64(1)) as token, loop(builder, I64(0), one.kv_heads, I64(1)) as head:
        place = builder.add(builder.mul(token.index, row), builder.mul(head.index, one.head_dim))
        entry = builder.mul(builder.add(one.earlier, token.index), one.head_dim)
        source = at(builder, states, place, F32)
        copy = at(builder, target, builder.add(builder.mul(head.index, one.entry_head), entry), F32)
        with loop(builder, I64(0), one.head_dim, I64(1)) as turn:
            value = builder.load(at(builder, source, turn.index, F32), typ=F32, align=4)
            builder.store(value, at(builder, copy, turn.index, F32), align=4)


def _call(module: ir.Module, builder: ir.IRBuilder, name: str, *values: ir.Value) -> None:
    """Call a kernel of the module; some take addresses as integers."""
    kernel = module.globals[name]
    converted: list[ir.Value] = []
    for value, kind in zip(values, kernel.ftype.args, strict=True):
        if isinstance(value.type, ir.PointerType) and kind == I64:
            value = builder.ptrtoint(value, I64)
        elif value.type == I64 and isinstance(kind, ir.PointerType):
            value = builder.inttoptr(value, POINTER)
        converted.append(value)
    builder.call(kernel, converted)
