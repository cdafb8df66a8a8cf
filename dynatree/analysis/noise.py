"""The noise of a run: the spread of its A/A pairs, which are the same program measured twice."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy import stats

from dynatree.analysis.statistics import paired_ratios
from dynatree.config.jobs import AGAIN, BASELINE

PAIR = ["job", "group", "article"]


@dataclass(frozen=True)
class Noise:
    """Spread of the A/A pairs of all jobs of a run.

    One job has few pairs, so its own interval varies several times from run to run. Both sides of a pair are the same
    program, so the true mean of the log ratios is zero, and each pair is a degree of freedom.

    Attributes:
        deviation: root mean square of the log ratios of throughputs.
        pairs: number of pairs: articles, summed over jobs and groups.
    """

    deviation: float
    pairs: int

    @classmethod
    def of_run(cls, requests: dict[str, pd.DataFrame]) -> Self:
        """Return the noise of a run.

        Args:
            requests: experiment -> one row per request. Those of experiments without A/A pairs do not count.
        """
        frames = [frame for frame in requests.values() if AGAIN in set(frame.get("case", ()))]
        logs = [np.log(paired_ratios(frame, AGAIN, BASELINE, "throughput")) for frame in frames]
        means = np.concatenate([one.groupby(PAIR).mean().to_numpy() for one in logs]) if logs else np.empty(0)
        return cls(math.sqrt(float((means**2).mean())) if len(means) else 0.0, len(means))

    def spread(self, n: int) -> float:
        """Return the bound that 95 % of ratios of identical programs over n articles do not exceed, as a share.

        It is 0 without pairs.
        """
        if not self.pairs:
            return 0.0
        return math.exp(float(stats.t.ppf(0.975, self.pairs)) * self.deviation / math.sqrt(n)) - 1
