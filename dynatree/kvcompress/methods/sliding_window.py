"""Keep the newest entries only: window attention, the baseline of StreamingLLM (Xiao et al., ICLR 2024)."""

from dataclasses import dataclass

import torch

from dynatree.kvcompress.methods.base import Budgeted, Kept


@dataclass(kw_only=True)
class SlidingWindow(Budgeted):
    """Keeps the newest entries."""

    def choose(self, count, keys, values, attention, positions, layer) -> Kept:
        length = keys.shape[1]
        return torch.arange(length - count, length, device=keys.device)
