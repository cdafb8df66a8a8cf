"""LLVM IR of a tile: the product of a few weight rows with a few tokens, whose sums stay in vector registers.

Each sum adds the same products in the same order, whatever the tile and its parts (Goto and van de Geijn, "Anatomy of
High-Performance Matrix Multiplication", ACM TOMS 2008).
"""

from collections.abc import Callable, Sequence

from llvmlite import ir

from dynatree.models.kernels.ir_tools import F32, I32, I64, POINTER, VOID, Loop, at, intrinsic, loop

FLOAT = 4  # bytes
CACHE_LINE = 64  # bytes


class Tile:
    """Build the product of weight rows with tokens.

    A list of sums holds those of all weight rows for the first token, then those for the next one.

    Args:
        builder: where to build it.
        lanes: float32 values in a vector register.
        weight: address of weight rows, one after the other.
        hidden: address of states, one after the other.
        k: floats of a weight row and of a state.
        rows: number of weight rows.
        tokens: number of states.
    """

    def __init__(
        self,
        builder: ir.IRBuilder,
        lanes: int,
        weight: ir.Value,
        hidden: ir.Value,
        k: ir.Value,
        rows: int,
        tokens: int,
    ):
        self._builder = builder
        self._k = k
        self._vector = ir.VectorType(F32, lanes)
        self._weights = [at(builder, weight, builder.mul(I64(index), k), F32) for index in range(rows)]
        self._states = [at(builder, hidden, builder.mul(I64(index), k), F32) for index in range(tokens)]
        self.zeros = [self._vector([0.0] * lanes)] * (rows * tokens)

    def add_products(
        self, stop: ir.Value, sums: Sequence[ir.Value], prefetch: Callable[[ir.Value], None]
    ) -> list[ir.Value]:
        """Return ``sums`` plus the products of columns 0 to ``stop``, a multiple of the lanes.

        ``prefetch`` builds code that runs before the columns from its argument on.
        """
        with loop(self._builder, I64(0), stop, I64(self._vector.count), sums) as turn:
            prefetch(turn.index)
            self._accumulate(turn, self._vector)
        return turn.results

    def finish(self, sums: Sequence[ir.Value], start: ir.Value, output: ir.Value, outputs: ir.Value) -> None:
        """Add the lanes of ``sums`` up, then the products of columns ``start`` to ``k``, and store the results.

        Args:
            sums: vectors.
            start: first of the columns that fill no vector.
            output: address of the result of the first row and token.
            outputs: floats from token to token in the result.
        """
        builder, rows = self._builder, len(self._weights)
        name = "llvm.vector.reduce.fadd"
        total = intrinsic(builder.module, name, self._vector, [F32, self._vector], returns=F32)
        scalars = [builder.call(total, [F32(0.0), value], fastmath=("reassoc",)) for value in sums]
        with loop(builder, start, self._k, I64(1), scalars) as turn:
            self._accumulate(turn, F32)
        for place, value in enumerate(turn.results):
            token, index = divmod(place, rows)
            address = at(builder, output, builder.add(builder.mul(I64(token), outputs), I64(index)), F32)
            builder.store(value, address, align=FLOAT)

    def load(self, memory: ir.Value) -> list[ir.Value]:
        """Return the sums in ``memory``."""
        addresses = self._addresses(memory)
        return [self._builder.load(address, typ=self._vector, align=FLOAT) for address in addresses]

    def store(self, sums: Sequence[ir.Value], memory: ir.Value) -> None:
        """Store sums in ``memory``."""
        for value, address in zip(sums, self._addresses(memory), strict=True):
            self._builder.store(value, address, align=FLOAT)

    def _addresses(self, memory: ir.Value) -> list[ir.Value]:
        return [at(self._builder, memory, I64(place), self._vector) for place in range(len(self.zeros))]

    def _accumulate(self, turn: Loop, kind: ir.Type) -> None:
        builder, rows = self._builder, len(self._weights)
        fused = intrinsic(builder.module, "llvm.fma", kind, [kind] * 3)
        factors = [self._load(address, turn.index, kind) for address in self._weights]
        for token, address in enumerate(self._states):
            state = self._load(address, turn.index, kind)
            for index, factor in enumerate(factors):
                place = token * rows + index
                turn.next[place] = builder.call(fused, [factor, state, turn.values[place]])

    def _load(self, address: ir.Value, index: ir.Value, kind: ir.Type) -> ir.Value:
        return self._builder.load(at(self._builder, address, index, F32), typ=kind, align=FLOAT)


def prefetch(builder: ir.IRBuilder, address: ir.Value) -> None:
    """Load a cache line ahead of its only use; the outer caches then keep what the host works on between passes."""
    name, signature = "llvm.prefetch.p0", ir.FunctionType(VOID, [POINTER, I32, I32, I32])
    function = builder.module.globals.get(name) or ir.Function(builder.module, signature, name)
    read, not_again, data = I32(0), I32(0), I32(1)
    builder.call(function, [address, read, not_again, data])
