"""LLVM IR of the two halves of a decoder layer around its attention, in float32.

Each half is a sequence of kernels, so that Python calls one function instead of many.
"""

from llvmlite import ir

from dynatree.models.kernels.ir_tools import F32, I32, I64, VOID

# Names of the 64-bit arguments: addresses first, then counts. All matrices are contiguous, one row per token.
BEFORE = ("hidden", "norm", "weight", "cos", "sin", "normed", "states", "tokens", "k", "outputs", "heads", "half")
AFTER = ("attended", "hidden", "projection", "norm", "gate_up", "down", "output", "normed", "both", "product")
AFTER += ("tokens", "k", "attention", "width")


def before_attention(module: ir.Module) -> None:
    """Define ``before_attention(*BEFORE, int32 threads, float epsilon)``: norm, projections and rotary positions.

    states [tokens, outputs] receives the heads of queries, keys and values, of which the first ``heads`` are rotated.
    normed [tokens, k] is scratch memory.
    """
    half = _Half(module, "before_attention", BEFORE)
    half.call("rms_norm", "hidden", "norm", "normed", "tokens", "k", "epsilon")
    half.call("linear", "weight", "normed", "states", "tokens", "outputs", "k", "threads")
    half.call("rotate", "states", "cos", "sin", "tokens", "heads", "outputs", "half")
    half.builder.ret_void()


def after_attention(module: ir.Module) -> None:
    """Define ``after_attention(*AFTER, int32 threads, float epsilon)``: output projection, norm, feed-forward layer.

    output [tokens, k] receives the hidden states after the layer. normed [tokens, k], both [tokens, 2 * width] and
    product [tokens, width] are scratch memory.
    """
    half = _Half(module, "after_attention", AFTER)
    half.values["count"] = half.builder.mul(half.values["tokens"], half.values["k"])
    half.values["double"] = half.builder.mul(half.values["width"], I64(2))
    half.call("linear", "projection", "attended", "output", "tokens", "k", "attention", "threads")
    half.call("add", "output", "hidden", "count")
    half.call("rms_norm", "output", "norm", "normed", "tokens", "k", "epsilon")
    half.call("linear", "gate_up", "normed", "both", "tokens", "double", "k", "threads")
    half.call("gated_silu", "both", "product", "tokens", "width")
    half.call("linear", "down", "product", "normed", "tokens", "k", "width", "threads")
    half.call("add", "output", "normed", "count")
    half.builder.ret_void()


class _Half:
    """A function that calls kernels of the module with its own arguments, given by name."""

    def __init__(self, module: ir.Module, name: str, arguments: tuple[str, ...]):
        signature = ir.FunctionType(VOID, [I64] * len(arguments) + [I32, F32])
        function = ir.Function(module, signature, name)
        self.module = module
        self.builder = ir.IRBuilder(function.append_basic_block())
        self.values = dict(zip((*arguments, "threads", "epsilon"), function.args, strict=True))

    def call(self, kernel: str, *names: str) -> None:
        function = self.module.globals[kernel]
        values = [self.values[name] for name in names]
        kinds = function.function_type.args
        self.builder.call(
            function,
            [
                value if value.type == kind else self.builder.inttoptr(value, kind)
                for value, kind in zip(values, kinds, strict=True)
            ],
        )
