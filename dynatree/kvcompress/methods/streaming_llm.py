"""Attention sinks and a window.

Xiao, Tian, Chen, Han and Lewis, "Efficient Streaming Language Models with Attention Sinks", ICLR 2024. As there,
positions count within the cache: with ``rotate``, kept keys are rotated to the positions 0, 1, 2, ..., and new tokens
continue from there. No position exceeds the size of the cache, and a text may be of any length. Without ``rotate``,
keys keep their positions in the text.
"""

from dataclasses import dataclass

import torch

from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Budgeted, Kept
from dynatree.utils.validate import at_least


@dataclass(kw_only=True)
class StreamingLLM(Budgeted):
    """Keeps the first entries and the newest ones.

    Attributes:
        sinks: first entries, which stay.
        window: minimum of newest entries, which stay. Alone it makes ``budget`` the sum of both. Beside ``budget`` or
            ``keep_ratio``, the newest entries take all that the sinks leave.
        rotate: rotate kept keys to consecutive positions.
    """

    sinks: int = 4
    window: int | None = None
    rotate: bool = True

    def __post_init__(self):
        at_least(0, sinks=self.sinks)
        if not isinstance(self.rotate, bool):
            raise DynatreeError(f"rotate must be true or false, not {self.rotate!r}")
        if self.window is not None:
            at_least(1, window=self.window)
            if self.budget is None and self.keep_ratio is None:
                self.budget = self.sinks + self.window
        super().__post_init__()
        if self.rotate and self.skip_layers:
            raise DynatreeError(
                "rotate=True needs all layers to hold the same entries; leave out skip_layers or set rotate=False"
            )

    @property
    def protected(self) -> dict[str, int]:
        return {"sinks": self.sinks, "window": self.window or 1}

    @property
    def rotates(self) -> bool:
        return self.rotate

    def choose(self, count, keys, values, attention, positions, layer) -> Kept:
        entries = torch.arange(keys.shape[1], device=keys.device)
        return torch.cat((entries[: self.sinks], entries[len(entries) - count + self.sinks :]))
