"""The README's figure of a snapshot: speed-up of the lossless methods."""

import pandas as pd
from matplotlib.figure import Figure

from dynatree.analysis.figures.style import plt
from dynatree.analysis.readme_tables import longest_requests, recommended

RECOMMENDED, OTHER = "#0072b2", "#595959"


def speedup_figure(peers: pd.DataFrame) -> Figure:
    """Draw the speed-up of every method on all prompts with its interval, the fastest method at the top.

    Args:
        peers: the table of all lossless methods, as in ``peers.csv``.
    """
    rows = longest_requests(peers).dropna(subset="speedup").sort_values("speedup")
    colors = recommended(rows).map({True: RECOMMENDED, False: OTHER})
    figure, axes = plt.subplots(figsize=(7.2, 0.8 + 0.27 * len(rows)), layout="constrained")
    for place, (color, (_, row)) in enumerate(zip(colors, rows.iterrows(), strict=True)):
        axes.plot([row["speedup_low"], row["speedup_high"]], [place, place], color=color, linewidth=2)
        axes.plot(row["speedup"], place, "o", color=color, markersize=6)
        box = {"color": "white", "pad": 1}
        axes.text(row["speedup_high"] + 0.02, place, f"{row['speedup']:.2f}x", va="center", color=color, bbox=box)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), rows["label"])
    axes.margins(x=0.1)
    axes.set_xlabel("speed-up over autoregressive decoding, 95 % interval")
    return figure
