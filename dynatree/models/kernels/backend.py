"""The backend "small_batch": decoding near the read bandwidth of the machine, in float32 on a CPU.

A forward pass of decoding reads every weight for a few tokens. torch's layers then leave half of the read bandwidth
unused and take twice as long for eight tokens as for one.
"""

import contextlib
import mmap
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.kernels.fused import fuse
from dynatree.models.kernels.fused_model import fuse_model
from dynatree.models.kernels.layers import SmallBatchLinear
from dynatree.models.kernels.library import available, kernels, multiply
from dynatree.models.supported import has_plain_weights

MEASURED_TOKENS = (1, 4, 8)  # rows of the products that are measured
REPETITIONS = 5
HUGE_PAGE = 2**21  # bytes


def use_small_batches(model: PreTrainedModel) -> PreTrainedModel:
    """Give the linear layers of a model, its head included, our kernels, and fuse what can be fused, in place.

    The modules and their parameters keep their identity, so hooks and tied weights stay as they are. The weights move
    into one block of memory, in the order of the modules, on huge pages where the system grants them.

    Raises:
        DynatreeError: the model is not in float32 on a CPU, or the kernels do not run on this system.
    """
    if (model.device.type, model.dtype) != ("cpu", torch.float32):
        raise DynatreeError(
            f"backend 'small_batch' needs float32 on a CPU, not {model.dtype} on {model.device}; choose backend='stock'"
        )
    kernels()
    layers = _ordinary_layers(model)
    _move_to_one_block(list({id(layer.weight): layer.weight for layer in layers}.values()))
    for layer in layers:
        layer.__class__ = SmallBatchLinear
    fuse(model)
    fuse_model(model)
    return model


def faster_in_small_batches(model: PreTrainedModel) -> bool:
    """Return True if the kernel runs here and a short measurement finds it faster for the layers of a model.

    One layer of each shape is measured. The medians of interleaved products are summed over shapes and rows.
    """
    if (model.device.type, model.dtype) != ("cpu", torch.float32) or not available():
        return False
    weights = {layer.weight.shape: layer.weight for layer in _ordinary_layers(model)}.values()
    products = (multiply, nn.functional.linear)
    seconds = [0.0, 0.0]
    for weight in weights:
        for tokens in MEASURED_TOKENS:
            hidden = torch.randn(tokens, weight.shape[1])
            times = [[_seconds(product, hidden, weight) for product in products] for _ in range(REPETITIONS)]
            for index in range(len(products)):
                seconds[index] += statistics.median(row[index] for row in times)
    return seconds[0] < seconds[1]


def _ordinary_layers(model: PreTrainedModel) -> list[nn.Linear]:
    """Return the float32 layers of class nn.Linear itself; subclasses of layers and weights have other layouts."""
    layers = [module for module in model.modules() if type(module) is nn.Linear and has_plain_weights(module)]
    return [layer for layer in layers if layer.weight.is_cpu and layer.weight.dtype == torch.float32]


def _move_to_one_block(weights: list[torch.Tensor]) -> None:
    """Move weights to consecutive addresses, so that one product can serve several layers."""
    values = huge_page_block(sum(weight.numel() for weight in weights))
    start = 0
    for weight in weights:
        place = values[start : start + weight.numel()].view(weight.shape)
        weight.data = place.copy_(weight.detach())
        start += weight.numel()


def huge_page_block(length: int) -> torch.Tensor:
    """Return ``length`` float32 zeros at the beginning of a huge page, on huge pages where the system grants them."""
    size = length * torch.float32.itemsize + HUGE_PAGE
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without huge pages keeps ordinary ones
        block.madvise(mmap.MADV_HUGEPAGE)
    values = torch.frombuffer(block, dtype=torch.float32)
    start = -values.data_ptr() % HUGE_PAGE // values.itemsize
    return values[start : start + length]


@torch.inference_mode()
def _seconds(product: Callable[..., torch.Tensor], hidden: torch.Tensor, weight: torch.Tensor) -> float:
    start = time.perf_counter()
    product(hidden, weight)
    return time.perf_counter() - start
