"""Keep the heavy hitters: entries that have received most attention so far.

Zhang et al., "H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language Models", NeurIPS 2023: the
attention that an entry receives is summed over all later tokens. The newest entries always stay. Query heads that share
a key/value head are averaged.
"""

import sys
from dataclasses import dataclass

import torch

from dynatree.kvcompress.methods.base import Budgeted, Kept, highest, with_recent
from dynatree.utils.validate import at_least


@dataclass(kw_only=True)
class H2O(Budgeted):
    """Keeps, in each head, the newest entries and the older ones that have received most attention.

    Attributes:
        recent: newest entries, which always stay.
    """

    recent: int = 0
    observed_queries = sys.maxsize
    accumulates = True

    def __post_init__(self):
        at_least(0, recent=self.recent)
        super().__post_init__()

    @property
    def protected(self) -> dict[str, int]:
        return {"recent": self.recent}

    def observe(self, before, weights) -> torch.Tensor:
        received = weights.sum(dim=1, keepdim=True)
        return received if before is None else before + received

    def choose(self, count, keys, values, attention, positions, layer) -> Kept:
        assert attention is not None, "the method observes every pass"
        length = keys.shape[1]
        scores = attention[:, 0, : length - self.recent]
        return with_recent(highest(scores, count - self.recent), self.recent, length)
