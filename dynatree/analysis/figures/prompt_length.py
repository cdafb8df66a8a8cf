"""Speed and looping text by prompt length."""

import pandas as pd
from matplotlib.figure import Figure

from dynatree.analysis.figures.scaling import scaling_figure


def figure(summary: pd.DataFrame) -> Figure:
    """Draw throughput, speed-up, tokens per round and looping text over the length of the prompt."""
    return scaling_figure(summary.assign(size=summary["limit"]), "prompt tokens", log=False)
