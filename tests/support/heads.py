"""Bands and texts of the tests of heads."""

import torch

from dynatree.heads.statistics import Bands

BANDS = Bands(sinks=4, local=8, recent=24)


def text(length: int, seed: int = 0) -> list[int]:
    """Return random token ids."""
    return torch.randint(4, 48, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
