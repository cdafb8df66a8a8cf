"""No compression: what the others are compared with."""

from dataclasses import dataclass

import torch

from dynatree.kvcompress.methods.base import Kept, Method


@dataclass(kw_only=True)
class NoCompression(Method):
    """Keeps everything."""

    def select(self, keys, values, attention, positions, seen, layer) -> Kept:
        return torch.arange(keys.shape[1], device=keys.device)
