"""Compile the kernels for this machine and call them on torch's tensors and OpenMP threads.

LLVM compiles through llvmlite, whose wheels need no compiler. A second pool of threads would compete with torch's for
the same cores, so the kernels run on the OpenMP library that torch has loaded.
"""

import ctypes
import functools
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import torch
from llvmlite import ir

from dynatree.errors import DynatreeError
from dynatree.models.kernels.attention_ir import attention
from dynatree.models.kernels.decoder_ir import decoder
from dynatree.models.kernels.elementwise_ir import add, gated_silu, rms_norm, rotate
from dynatree.models.kernels.layer_ir import AFTER, BEFORE, after_attention, before_attention
from dynatree.models.kernels.linear_ir import linear
from dynatree.models.kernels.ranking_ir import rank

OPENMP = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
ADDRESS, COUNT, FLOAT, INT = ctypes.c_int64, ctypes.c_int64, ctypes.c_float, ctypes.c_int32
SIGNATURES = {
    "linear": [ADDRESS] * 3 + [COUNT] * 3 + [INT],
    "attention": [ADDRESS] * 7 + [COUNT] * 10 + [FLOAT, INT],
    "rms_norm": [ADDRESS] * 3 + [COUNT] * 2 + [FLOAT],
    "gated_silu": [ADDRESS] * 2 + [COUNT] * 2,
    "rotate": [ADDRESS] * 3 + [COUNT] * 4,
    "before_attention": [ctypes.c_int64] * len(BEFORE) + [INT, FLOAT],
    "after_attention": [ctypes.c_int64] * len(AFTER) + [INT, FLOAT],
    "rank": [ADDRESS] * 5 + [COUNT] * 3 + [FLOAT, INT],
    "decoder": [ADDRESS] * 8 + [COUNT] * 11 + [FLOAT, FLOAT, INT],
}


class Kernels:
    """The compiled functions, see :mod:`dynatree.models.kernels.linear_ir` and ``elementwise_ir`` for arguments.

    Args:
        lanes: float32 values in a vector register; None for those of this processor.

    Raises:
        DynatreeError: the kernels do not run on this system, see :func:`available`.
    """

    def __init__(self, lanes: int | None = None):
        symbols = _openmp()
        if symbols is None:
            raise DynatreeError(
                "backend 'small_batch' needs Linux and a torch whose OpenMP library has the GNU interface; "
                "choose backend='stock'"
            )
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        for name, address in symbols.items():
            llvm.add_symbol(name, address)
        self._engine = _compile(lanes)  # owns the machine code
        functions = {
            name: ctypes.CFUNCTYPE(None, *types)(self._engine.get_function_address(name))
            for name, types in SIGNATURES.items()
        }
        self.linear = functions["linear"]
        self.attention = functions["attention"]
        self.rms_norm = functions["rms_norm"]
        self.gated_silu = functions["gated_silu"]
        self.rotate = functions["rotate"]
        self.before_attention = functions["before_attention"]
        self.after_attention = functions["after_attention"]
        self.rank = functions["rank"]
        self.decoder = functions["decoder"]


@functools.cache
def kernels() -> Kernels:
    """Return the kernels for this processor, compiled at the first call, which takes about a second."""
    return Kernels()


def available() -> bool:
    """Return True if the kernels run on this system: Linux, with a torch that has the GNU interface of OpenMP."""
    return _openmp() is not None


def multiply(hidden: torch.Tensor, weight: torch.Tensor, outputs: int | None = None) -> torch.Tensor:
    """Return ``hidden @ weight.T`` [..., outputs] in float32 on a CPU, without autograd.

    A row of the result depends on its own row of ``hidden`` alone, bit for bit.

    Args:
        hidden: [..., k].
        weight: [rows, k], contiguous.
        outputs: weight rows, which may continue in memory after ``weight``; None for those of ``weight``.
    """
    rows, k = weight.shape
    outputs = outputs or rows
    hidden = hidden.contiguous()
    output = hidden.new_empty((*hidden.shape[:-1], outputs))
    tokens, threads = hidden.numel() // k, torch.get_num_threads()
    kernels().linear(weight.data_ptr(), hidden.data_ptr(), output.data_ptr(), tokens, outputs, k, threads)
    return output


def _compile(lanes: int | None) -> Any:
    features = llvm.get_host_cpu_features()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=3
    )
    source = ir.Module("dynatree")
    linear(source, lanes or _lanes(features))
    attention(source, lanes or _lanes(features))
    for define in (rms_norm, gated_silu, rotate, add, before_attention, after_attention, rank, decoder):
        define(source)
    module = llvm.parse_assembly(str(source))
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.loop_unrolling = False  # unrolled tiles would need more registers than there are
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


def _lanes(features: Any) -> int:
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4


@functools.cache
def _openmp() -> dict[str, int] | None:
    """Return the addresses of the OpenMP functions that the kernels call; None if the process has no such library."""
    for path in _openmp_libraries():
        library = ctypes.CDLL(path)
        if all(hasattr(library, name) for name in OPENMP):
            addresses = {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in OPENMP}
            return {name: address for name, address in addresses.items() if address}
    return None


def _openmp_libraries() -> list[str]:
    """Return the files of the loaded OpenMP libraries, that of torch first."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return []
    files = {line.split(maxsplit=5)[5] for line in maps.read_text().splitlines() if "omp" in line and ".so" in line}
    return sorted(files, key=lambda file: ("/torch" not in file, file))
