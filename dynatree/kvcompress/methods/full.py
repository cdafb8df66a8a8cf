"""No compression: the baseline of the other methods."""

from dataclasses import dataclass

import torch

from dynatree.kvcompress.methods.base import Kept, Method


@dataclass(kw_only=True)
class FullCache(Method):
    """Keeps all entries."""

    def select(self, keys, values, attention, positions, seen, layer) -> Kept:
        return torch.arange(keys.shape[1], device=keys.device)
