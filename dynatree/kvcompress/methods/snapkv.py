"""Keep the entries that the last tokens of the prompt attend to.

Li et al., "SnapKV: LLM Knows What You are Looking for Before Generation", NeurIPS 2024: the attention of the last
``window`` tokens, averaged over them and pooled over neighboring entries, ranks the entries before them. The window
itself stays. Query heads that share a key/value head are averaged.
"""

from dataclasses import dataclass

import torch

from dynatree.errors import DynatreeError
from dynatree.kvcompress.methods.base import Budgeted, Kept, highest, with_recent
from dynatree.utils.validate import at_least


@dataclass(kw_only=True)
class SnapKV(Budgeted):
    """Keeps, in each head, the newest entries and those that the newest tokens attend to most.

    Attributes:
        window: newest tokens, which stay and whose attention counts.
        pool: neighboring entries over which attention is averaged; odd.
        when: "prefill" is the published method. In "both" the window moves on with every token, and the attention of
            its tokens is held in memory.
    """

    window: int = 32
    pool: int = 5
    when: str = "prefill"

    def __post_init__(self):
        at_least(1, window=self.window, pool=self.pool)
        if self.pool % 2 == 0:
            raise DynatreeError(f"pool must be odd, so that it has a middle entry, not {self.pool}")
        super().__post_init__()

    @property
    def protected(self) -> dict[str, int]:
        return {"window": self.window}

    @property
    def observed_queries(self) -> int:
        return self.window

    def observe(self, before, weights) -> torch.Tensor:
        return (weights if before is None else torch.cat((before, weights), dim=1))[:, -self.window :]

    def choose(self, count, keys, values, attention, positions, layer) -> Kept:
        assert attention is not None, "the method observes every pass"
        length = keys.shape[1]
        scores = attention.mean(dim=1)[:, None, : length - self.window]  # [kv_heads, 1, older]
        pooled = torch.nn.functional.avg_pool1d(scores, self.pool, stride=1, padding=self.pool // 2)[:, 0]
        return with_recent(highest(pooled, count - self.window), self.window, length)
