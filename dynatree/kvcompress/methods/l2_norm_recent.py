"""A fixed number of entries chosen by the norm of their keys, the newest protected.

Devoto et al. (EMNLP 2024) and the original of this repository compare three variants to test whether low norms matter:
lowest, highest and random entries.
"""

from dataclasses import dataclass

import torch

from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Budgeted, Kept, highest, with_recent
from dynatree.kvcompress.methods.l2_norm import key_norms
from dynatree.utils.validate import at_least

CHOICES = ("low", "high", "random")


@dataclass(kw_only=True)
class L2NormRecent(Budgeted):
    """Keeps, in each head, the newest entries and older ones of lowest or highest key norm or at random.

    Attributes:
        keep: "low", "high" or "random". Each random entry has a fixed priority, so the kept entries are a uniform
            sample even after many evictions.
        recent: newest entries, which always stay.
        seed: seed of the priorities.
    """

    keep: str = "low"
    recent: int = 0
    seed: int = 0

    def __post_init__(self):
        at_least(0, recent=self.recent, seed=self.seed)
        if self.keep not in CHOICES:
            raise DynatreeError(f"keep must be one of {', '.join(CHOICES)}, not {self.keep!r}")
        super().__post_init__()

    @property
    def protected(self) -> dict[str, int]:
        return {"recent": self.recent}

    def choose(self, count, keys, values, attention, positions, layer) -> Kept:
        length = keys.shape[1]
        older = length - self.recent
        scores = self._scores(keys[:, :older], positions[:, :older], layer)
        return with_recent(highest(scores, count - self.recent), self.recent, length)

    def _scores(self, keys: torch.Tensor, positions: torch.Tensor, layer: int) -> torch.Tensor:
        if self.keep == "random":
            return priorities(positions, layer, self.seed)
        norms = key_norms(keys)
        return norms if self.keep == "high" else -norms


def priorities(positions: torch.Tensor, layer: int, seed: int) -> torch.Tensor:
    """Return random integers below 2**31 that depend on seed, layer, head and position only.

    The hash is two rounds of multiply and shift within 63 bits, so nothing overflows.

    Args:
        positions: [kv_heads, length].
        layer: index of the layer.
        seed: seed of the hash.
    """
    below = 2**31 - 1
    heads = torch.arange(len(positions), device=positions.device)[:, None]
    start = (layer + 1) * 0xC2B2AE3D + (seed & below) * 0x27D4EB2F
    mixed = (positions * 0x9E3779B1 + heads * 0x85EBCA77 + start) & below
    for factor in (0x2C1B3C6D, 0x297A2D39):
        mixed = ((mixed ^ (mixed >> 15)) * factor) & below
    return mixed ^ (mixed >> 15)
