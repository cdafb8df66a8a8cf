"""Style of all figures: one color per method, each with a contrast of at least 3:1 on white."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from dynatree.utils.files import write_bytes

COLORS = {
    "autoregressive": "#767676",
    "hf_generate": "#8F8F8F",
    "hf_assisted": "#B07A00",
    "hf_assisted_fixed": "#7A5200",
    "hf_prompt_lookup": "#8C564B",
    "hf_static": "#9A3324",
    "llama_cpp": "#0E7490",
    "llama_cpp_ngram": "#164E63",
    "chain": "#2A7FC1",
    "chain_published": "#174F82",
    "fixed_tree": "#00875F",
    "fixed_tree_published": "#00583E",
    "dynatree_static": "#C2609C",
    "dynatree": "#D55E00",
    "dynatree_published": "#A03C00",
    "cost_aware_ngram": "#7D4FB3",
    "cost_aware_recycling": "#A569D6",
    "cost_aware_table": "#C026D3",
    "cost_aware_model": "#4B2E83",
    "cost_aware": "#000000",
}
SPARE = ("#0B7A8A", "#C2185B", "#5B6B00", "#3B5BDB", "#6D6875", "#A0522D")  # for other cases
SERIES = ("#D55E00", "#0072B2", "#3D96CC", "#00875F", "#C2609C", "#B07A00", "#8C6D31", "#767676")  # in this order
MARKERS = "osDv^P*"  # one fewer than colors, so that their combinations distinguish many lines

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
    """Return ``text`` such that matplotlib shows it literally, without math mode."""
    return str(text).replace("$", r"\$")


def series_styles(names: Iterable[str]) -> dict[str, dict]:
    """Return a color and a marker for each line of a figure, by order."""
    return {
        name: {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)]}
        for number, name in enumerate(names)
    }


def save(figure: Figure, path: Path) -> None:
    """Save as PDF or PNG, according to the suffix; equal figures give equal bytes."""
    metadata = {"CreationDate": None} if path.suffix == ".pdf" else {"Software": None}
    picture = BytesIO()
    figure.savefig(picture, format=path.suffix[1:], metadata=metadata)
    write_bytes(path, picture.getvalue())
