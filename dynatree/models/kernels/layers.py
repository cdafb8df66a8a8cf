"""Linear layers that multiply a few rows near the read bandwidth of the machine, in float32 on a CPU."""

import torch
from torch import nn

from dynatree.models.kernels.library import multiply

MAX_TOKENS = 128  # rows; for more, torch's product is as fast


class SmallBatchLinear(nn.Linear):
    """A linear layer with our kernel for up to ``MAX_TOKENS`` rows, and torch's product otherwise."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        # input: [..., in]
        if not small_batch(input, self.weight):
            return super().forward(input)
        output = multiply(input, self.weight)
        return output if self.bias is None else output.add_(self.bias)


def small_batch(hidden: torch.Tensor, weight: torch.Tensor) -> bool:
    """Return True if our kernels serve ``hidden`` [..., k]: a few rows in float32 on a CPU, without autograd."""
    return (
        hidden.dtype is weight.dtype is torch.float32
        and hidden.is_cpu
        and 0 < hidden.numel() <= MAX_TOKENS * hidden.shape[-1]
        and not torch.is_grad_enabled()
    )
