"""Shapes of the schematic figures: a page measured in inches, tokens in boxes, small trees, arrows."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Text

from dynatree.analysis.figures.style import plt

INK = "#333333"
FAINT = "#777777"
# Fate of a token, distinguished by fill, outline and stroke, not by color alone.
KINDS = {
    "text": {"facecolor": "#E6E6E6", "edgecolor": FAINT},
    "drafted": {"facecolor": "#CFE8F7", "edgecolor": "#0072B2"},
    "accepted": {"facecolor": "#009E73", "edgecolor": "#00573F"},
    "rejected": {"facecolor": "white", "edgecolor": FAINT, "linestyle": (0, (2.5, 1.5))},
    "own": {"facecolor": "#F5B942", "edgecolor": "#7A4F00", "linewidth": 1.6},
}
SMALL = 7


def page(width: float, height: float) -> tuple[Figure, Axes]:
    """Create a figure with axes measured in inches from the lower left corner."""
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.set_axis_off()
    return figure, axes


def write(axes: Axes, x: float, y: float, text: str, **options) -> Text:
    """Write small text, centered by default."""
    settings = {"fontsize": SMALL, "ha": "center", "va": "center", "color": INK} | options
    return axes.text(x, y, text, **settings)


def token(axes: Axes, x: float, y: float, text: str, kind: str, width: float = 0.56, height: float = 0.22) -> None:
    """Draw a token in a box around (x, y)."""
    style = {"linewidth": 0.9} | KINDS[kind]
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.05", zorder=3, **style))
    color = "white" if kind == "accepted" else FAINT if kind == "rejected" else INK
    write(axes, x, y - 0.005, text, fontsize=7.5, color=color, zorder=4, parse_math=False)


def node(axes: Axes, x: float, y: float, kind: str, text: str = "", radius: float = 0.085) -> None:
    """Draw a node of a small tree around (x, y)."""
    axes.add_patch(Circle((x, y), radius, zorder=3, **({"linewidth": 0.9} | KINDS[kind])))
    write(axes, x, y - 0.005, text, color="white" if kind == "accepted" else INK, zorder=4)


def line(axes: Axes, start: tuple[float, float], end: tuple[float, float], **options) -> None:
    """Draw a straight line behind the shapes."""
    settings = {"color": FAINT, "linewidth": 0.9, "zorder": 1, "solid_capstyle": "round"} | options
    axes.plot([start[0], end[0]], [start[1], end[1]], **settings)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], **options) -> None:
    """Draw an arrow from ``start`` to ``end``."""
    settings = {"arrowstyle": "-|>", "mutation_scale": 9, "color": INK, "linewidth": 1.1} | options
    axes.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **settings))


def small_tree(
    axes: Axes,
    places: Sequence[tuple[float, float]],
    parents: Sequence[int],
    kinds: Sequence[str],
    labels: Sequence[str] | None = None,
    radius: float = 0.085,
) -> None:
    """Draw a tree of round nodes; the edges of an accepted path are thick."""
    for index, (place, parent, kind) in enumerate(zip(places, parents, kinds, strict=True)):
        if parent >= 0:
            style = {"accepted": {"color": "#00573F", "linewidth": 2}, "own": {"color": "#7A4F00", "linewidth": 1.6}}
            line(axes, places[parent], place, **style.get(kind, {}))
        node(axes, *place, kind, labels[index] if labels else "", radius)
