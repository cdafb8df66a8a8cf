"""Passkey retrieval by position of the hidden number."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dynatree.analysis.figures.style import plain, plt


def figure(passkey: pd.DataFrame) -> Figure:
    """Draw the share of retrieved numbers by case and by position in the text; one panel per length."""
    lengths = sorted(passkey["length"].unique())
    cases = list(dict.fromkeys(passkey["case"]))
    size = (7.2, 0.9 + 0.24 * len(cases))
    figure, panels = plt.subplots(1, len(lengths), figsize=size, squeeze=False, sharey=True, layout="constrained")
    for axes, length in zip(panels[0], lengths, strict=True):
        shares = passkey[passkey["length"] == length].pivot(index="case", columns="depth", values="share").loc[cases]
        image = axes.imshow(shares, aspect="auto", cmap="viridis", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares.to_numpy()):
            shade = "black" if share > 0.6 else "white"
            axes.text(column, row, f"{share:.0%}", ha="center", va="center", fontsize=8, color=shade)
        axes.grid(visible=False)
        axes.set_xticks(range(len(shares.columns)), [f"{depth:g}" for depth in shares.columns])
        axes.set_yticks(range(len(cases)), [_name(passkey, case) for case in cases])
        axes.set_xlabel("place of the number, 0 is the beginning")
        axes.set_title(f"{length} tokens", fontsize=9)
    figure.colorbar(image, ax=panels[0].tolist(), label="found", pad=0.01)
    return figure


def _name(passkey: pd.DataFrame, case: str) -> str:
    row = passkey[passkey["case"] == case].iloc[0]
    return plain(row["label"]) if pd.isna(row["budget"]) else f"{plain(row['label'])}, {row['budget']:g} entries"
