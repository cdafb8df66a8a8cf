"""Find linear layers that give a token other bits in a wider forward pass.

Kernels add the products of a row in an order that may depend on the number of rows. In half precision, the rounding of
the result hides most such differences, so that a comparison of ordinary states can miss them. The weights and states
compared here cancel each other: each sum is 0, and what a kernel returns is the rounding of its own order.
"""

import copy
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

ROWS = 8  # least number of states and number of different outputs that are compared
SPREAD = 7  # the summands differ by up to 2 ** (4 * SPREAD)


def width_dependent_layer(model: nn.Module, width: int) -> str | None:
    """Return the name of a linear layer in half precision that depends on the number of tokens, or None.

    Layers of one class, shape and memory layout share a kernel; one of them is compared.

    Args:
        model: any module; its layers in float32 are not compared, as their outputs are not rounded.
        width: tokens of the forward pass that is compared with forward passes over one token.
    """
    for name, layer in _different_layers(model):
        forward, states = _cancelling(layer, -(-ROWS // width) * width)
        alone = torch.cat([forward(state) for state in states.split(1)])
        if not torch.equal(torch.cat([forward(part) for part in states.split(width)]), alone):
            return name
    return None


def _different_layers(model: nn.Module) -> Iterator[tuple[str, nn.Linear | Conv1D]]:
    seen = set()
    for name, module in model.named_modules():
        if not isinstance(module, (nn.Linear, Conv1D)) or module.weight.dtype not in (torch.bfloat16, torch.float16):
            continue
        weight = module.weight
        kernel = (type(module), weight.shape, weight.stride(), weight.dtype, module.bias is None)
        if kernel not in seen:
            seen.add(kernel)
            yield name, module


def _cancelling(layer: nn.Linear | Conv1D, count: int) -> tuple[Callable, torch.Tensor]:
    """Return the forward pass of ``layer`` with other weights, and states [count, inputs] whose outputs are all 0."""
    inputs, outputs = layer.weight.shape if isinstance(layer, Conv1D) else reversed(layer.weight.shape)
    random = torch.Generator().manual_seed(0)
    first, second = torch.randperm(inputs, generator=random)[: inputs // 2 * 2].chunk(2)

    def pairs(rows: int, sign: int) -> torch.Tensor:
        shape = rows, len(first)
        one = torch.randn(shape, generator=random) * 2.0 ** torch.randint(-SPREAD, SPREAD + 1, shape, generator=random)
        both = torch.zeros(rows, inputs)
        both[:, first], both[:, second] = one, sign * one
        return both.to(layer.weight.dtype)

    weight = pairs(ROWS, -1).repeat(-(-outputs // ROWS), 1)[:outputs]
    twin = copy.copy(layer)
    twin._parameters = {
        name: None if old is None else nn.Parameter(torch.zeros_like(old, device="cpu"), False)
        for name, old in layer._parameters.items()
    }
    twin.weight.copy_(weight.T if isinstance(layer, Conv1D) else weight)
    return partial(type(layer).forward, twin), pairs(count, 1)  # without hooks
