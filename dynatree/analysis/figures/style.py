"""One look for all figures: Okabe and Ito's colour-blind-safe palette, one colour per method everywhere."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from dynatree.utils.files import write_bytes

COLORS = {
    "autoregressive": "#999999",
    "hf_generate": "#BBBBBB",
    "hf_assisted": "#F0E442",
    "hf_assisted_fixed": "#E69F00",
    "chain": "#56B4E9",
    "fixed_tree": "#009E73",
    "dynatree_static": "#CC79A7",
    "dynatree": "#D55E00",
    "cost_aware": "#000000",
    "hf_prompt_lookup": "#8C6D31",
}
OTHER = "#0072B2"
SERIES = ("#D55E00", "#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#8C6D31", "#999999")  # in this order
MARKERS = "osDv^P*"  # one fewer, so that colour and marker together tell many lines apart

plt.rcParams.update(
    {
        "font.size": 9,
        "font.family": "DejaVu Sans",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": "#DDDDDD",
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "pdf.fonttype": 42,
        "savefig.dpi": 200,
    }
)


def plain(text: object) -> str:
    """``text`` as matplotlib shows it literally, without mathematics."""
    return str(text).replace("$", r"\$")


def series_styles(names: Iterable[str]) -> dict[str, dict]:
    """A colour and a marker for each of the lines of a figure, by their order."""
    return {
        name: {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)]}
        for number, name in enumerate(names)
    }


def save(figure: Figure, path: Path) -> None:
    """Save as PDF or PNG by the suffix, with the same bytes for the same picture."""
    metadata = {"CreationDate": None} if path.suffix == ".pdf" else {"Software": None}
    picture = BytesIO()
    figure.savefig(picture, format=path.suffix[1:], metadata=metadata)
    write_bytes(path, picture.getvalue())
