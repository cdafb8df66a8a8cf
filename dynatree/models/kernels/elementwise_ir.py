"""LLVM IR of the small operations between the linear layers of a decoder, in float32.

Each function is one loop over tokens that LLVM vectorizes. torch needs two to ten calls for the same result.
"""

from llvmlite import ir

from dynatree.models.kernels.ir_tools import F32, I32, I64, POINTER, VOID, at, intrinsic, loop

SUM = ("reassoc", "contract", "nsz")  # lets LLVM add the terms of a sum in the lanes of a vector


def rms_norm(module: ir.Module) -> None:
    """Define ``rms_norm(hidden, weight, output, tokens, k, float epsilon)`` (Zhang and Sennrich, NeurIPS 2019)."""
    function, builder = _function(module, "rms_norm", [POINTER, POINTER, POINTER, I64, I64, F32])
    hidden, weight, output, tokens, k, epsilon = function.args
    with loop(builder, I64(0), tokens, I64(1)) as token:
        start = builder.mul(token.index, k)
        row, result = at(builder, hidden, start, F32), at(builder, output, start, F32)
        with loop(builder, I64(0), k, I64(1), [F32(0.0)]) as element:
            value = _load(builder, row, element.index)
            square = builder.fmul(value, value, flags=SUM)
            element.next[0] = builder.fadd(element.values[0], square, flags=SUM)
        mean = builder.fdiv(element.results[0], builder.sitofp(k, F32))
        root = builder.call(intrinsic(module, "llvm.sqrt", F32, [F32]), [builder.fadd(mean, epsilon)])
        factor = builder.fdiv(F32(1.0), root)
        with loop(builder, I64(0), k, I64(1)) as element:
            scaled = builder.fmul(_load(builder, row, element.index), factor)
            _store(builder, builder.fmul(_load(builder, weight, element.index), scaled), result, element.index)
    builder.ret_void()


def gated_silu(module: ir.Module) -> None:
    """Define ``gated_silu(both, output, tokens, k)``: output[t, i] = silu(both[t, i]) * both[t, k + i]."""
    function, builder = _function(module, "gated_silu", [POINTER, POINTER, I64, I64])
    both, output, tokens, k = function.args
    with loop(builder, I64(0), tokens, I64(1)) as token:
        start = builder.mul(token.index, k)
        gates = at(builder, both, builder.mul(start, I64(2)), F32)
        factors, result = at(builder, gates, k, F32), at(builder, output, start, F32)
        with loop(builder, I64(0), k, I64(1)) as element:
            gate = _load(builder, gates, element.index)
            denominator = builder.fadd(F32(1.0), exponential(builder, module, builder.fneg(gate)))
            product = builder.fmul(builder.fdiv(gate, denominator), _load(builder, factors, element.index))
            _store(builder, product, result, element.index)
    builder.ret_void()


def rotate(module: ir.Module) -> None:
    """Define ``rotate(states, cos, sin, tokens, heads, stride, half)``: rotary positions in place (Su et al., 2021).

    states: [tokens, stride], the first heads * 2 * half columns rotate; cos, sin: [tokens, 2 * half].
    """
    function, builder = _function(module, "rotate", [POINTER, POINTER, POINTER, I64, I64, I64, I64])
    states, cos, sin, tokens, heads, stride, half = function.args
    width = builder.mul(half, I64(2))
    with loop(builder, I64(0), tokens, I64(1)) as token:
        row = at(builder, states, builder.mul(token.index, stride), F32)
        angles = builder.mul(token.index, width)
        cosines, sines = at(builder, cos, angles, F32), at(builder, sin, angles, F32)
        with loop(builder, I64(0), heads, I64(1)) as head:
            left = at(builder, row, builder.mul(head.index, width), F32)
            right = at(builder, left, half, F32)
            with loop(builder, I64(0), half, I64(1)) as element:
                first, second = (_load(builder, part, element.index) for part in (left, right))
                cosine, sine = (_load(builder, table, element.index) for table in (cosines, sines))
                turned = builder.fsub(builder.fmul(first, cosine), builder.fmul(second, sine))
                other = builder.fadd(builder.fmul(second, cosine), builder.fmul(first, sine))
                _store(builder, turned, left, element.index)
                _store(builder, other, right, element.index)
    builder.ret_void()


def add(module: ir.Module) -> None:
    """Define ``add(values, increments, count)``: values += increments."""
    function, builder = _function(module, "add", [POINTER, POINTER, I64])
    values, increments, count = function.args
    with loop(builder, I64(0), count, I64(1)) as element:
        total = builder.fadd(_load(builder, values, element.index), _load(builder, increments, element.index))
        _store(builder, total, values, element.index)
    builder.ret_void()


def exponential(builder: ir.IRBuilder, module: ir.Module, value: ir.Value) -> ir.Value:
    """Return e**value to about one unit in the last place, after Cephes: 2**n times a polynomial on [-ln2/2, ln2/2]."""
    clamp = [intrinsic(module, name, F32, [F32, F32]) for name in ("llvm.minnum", "llvm.maxnum")]
    value = builder.call(clamp[1], [builder.call(clamp[0], [value, F32(88.0)]), F32(-87.0)])
    rounded = builder.call(intrinsic(module, "llvm.rint", F32, [F32]), [builder.fmul(value, F32(1.44269504088896341))])
    for part in (0.693359375, -2.12194440e-4):  # ln 2 in two parts, so that the first product is exact
        value = builder.fsub(value, builder.fmul(rounded, F32(part)))
    result = F32(1.9875691500e-4)
    for coefficient in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1.0, 1.0):
        result = builder.fadd(builder.fmul(result, value), F32(coefficient))
    power = builder.shl(builder.add(builder.fptosi(rounded, I32), I32(127)), I32(23))
    return builder.fmul(result, builder.bitcast(power, F32))


def _function(module: ir.Module, name: str, types: list[ir.Type]) -> tuple[ir.Function, ir.IRBuilder]:
    function = ir.Function(module, ir.FunctionType(VOID, types), name)
    for argument, kind in zip(function.args, types, strict=True):
        if kind is POINTER:
            argument.add_attribute("noalias")
    return function, ir.IRBuilder(function.append_basic_block())


def _load(builder: ir.IRBuilder, address: ir.Value, index: ir.Value) -> ir.Value:
    return builder.load(at(builder, address, index, F32), typ=F32, align=4)


def _store(builder: ir.IRBuilder, value: ir.Value, address: ir.Value, index: ir.Value) -> None:
    builder.store(value, at(builder, address, index, F32), align=4)
