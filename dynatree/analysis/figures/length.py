"""Speed and looping text by number of new tokens."""

import pandas as pd
from matplotlib.figure import Figure

from dynatree.analysis.figures.scaling import scaling_figure


def figure(summary: pd.DataFrame) -> Figure:
    """Draw throughput, speed-up, tokens per round and looping text over the number of new tokens."""
    return scaling_figure(summary.assign(size=pd.to_numeric(summary["group"])), "new tokens", log=True)
