"""Attention sinks and a window.

Xiao, Tian, Chen, Han and Lewis, "Efficient Streaming Language Models with Attention Sinks", ICLR 2024. As there,
positions count within the cache: with ``rotate`` kept keys are rotated to the positions 0, 1, 2, ... and new tokens
go on from there, so no position ever exceeds the size of the cache and a text may be of any length. Without it, keys
stay where they were in the text.
"""

from dataclasses import dataclass

import torch

from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Budgeted, Kept
from dynatree.utils.validate import at_least


@dataclass(kw_only=True)
class StreamingLLM(Budgeted):
    """Keeps the first rows and the newest ones.

    Attributes:
        sinks: first rows that stay.
        window: newest rows that stay at least. Alone it makes ``budget`` the sum of both; beside ``budget`` or
            ``keep_ratio``, all that the sinks leave are the newest rows.
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
                "rotate=True needs all layers to hold the same rows; leave out skip_layers or set rotate=False"
            )

    @property
    def protected(self) -> dict[str, int]:
        return {"sinks": self.sinks, "window": self.window or 1}

    @property
    def rotates(self) -> bool:
        return self.rotate

    def choose(self, count, keys, values, attention, positions, layer) -> Kept:
        rows = torch.arange(keys.shape[1], device=keys.device)
        return torch.cat((rows[: self.sinks], rows[len(rows) - count + self.sinks :]))
