"""Schematic of the decisions of the DynaTree policy."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dynatree.analysis.figures.schematic import INK, line, page, small_tree, write

WIDTH, HEIGHT = 7.2, 3.2
THIRD = WIDTH / 3
DROPPED = 10  # the node beyond the budget


def figure() -> Figure:
    """Draw breadth by confidence, depth by path probability, and the effect of pruning and of the node budget."""
    figure, axes = page(WIDTH, HEIGHT)
    for index, (title, draw) in enumerate((("Breadth", _breadth), ("Depth", _depth), ("Pruning", _pruning))):
        left = index * THIRD
        write(axes, left + THIRD / 2, HEIGHT - 0.18, f"({'abc'[index]})  {title}", fontsize=9, fontweight="bold")
        draw(axes, left)
        if index:
            line(axes, (left, 0.1), (left, HEIGHT - 0.1), color="#CCCCCC")
    return figure


def _breadth(axes: Axes, left: float) -> None:
    """Draw a scale of confidence in three parts, with the children that a node gets in each part."""
    edges, y, height = [left + x for x in (0.2, 0.9, 1.55, 2.2)], 0.98, 0.16
    shades = ("#CFE8F7", "#7FBCE6", "#0072B2")
    names = (r"$B_\mathrm{max}$", r"$B_\mathrm{mid}$", r"$B_\mathrm{min}$")
    parts = zip(edges, edges[1:], shades, names, (3, 2, 1), strict=False)
    for start, end, shade, name, children in parts:
        middle = (start + end) / 2
        axes.add_patch(Rectangle((start, y), end - start, height, facecolor=shade, edgecolor=INK, linewidth=0.8))
        offsets = [0.2 * (child - (children - 1) / 2) for child in range(children)]
        places = [(middle, 2.3)] + [(middle + offset, 1.7) for offset in offsets]
        small_tree(axes, places, [-1] + [0] * children, ["drafted"] * (children + 1))
        write(axes, middle, 2.6, name, fontsize=9)
        write(axes, middle, 1.42, "1 child" if children == 1 else f"{children} children")
    for x, label in zip(edges, ("0", r"$\tau_\ell$", r"$\tau_h$", "1"), strict=True):
        line(axes, (x, y), (x, y - 0.06), color=INK)
        write(axes, x, y - 0.16, label, fontsize=9)
    write(
        axes, left + THIRD / 2, 0.53, "confidence: the draft's highest\nprobability for the next token", linespacing=1.3
    )
    write(axes, edges[0], 0.2, "unsure: hedge", ha="left")
    write(axes, edges[-1], 0.2, "sure: save nodes", ha="right")


def _depth(axes: Axes, left: float) -> None:
    """Draw a tree that grows freely to the base depth and then only along its probable path."""
    top, pitch, x = 2.72, 0.36, left + 0.78
    offsets = [0, -0.18, 0.5, -0.36, 0.12, 0.62, -0.45, -0.1, 0.3, 0.72, -0.45, -0.45, -0.45]
    depths = [0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 5, 6]
    parents = [-1, 0, 0, 1, 1, 2, 3, 3, 4, 5, 6, 10, 11]
    kinds = ["own"] + ["drafted"] * 5 + ["drafted", "rejected", "rejected", "rejected"] + ["drafted"] * 2 + ["rejected"]
    for depth, label in ((3, r"$D_0$"), (6, r"$D_\mathrm{max}$")):
        y = top - pitch * depth
        line(axes, (left + 0.2, y), (left + 2.2, y), color=INK, linestyle=(0, (4, 2)), linewidth=0.8)
        write(axes, left + 2.2, y + 0.11, label, ha="right", fontsize=9)
    places = [(x + offset + 0.1, top - pitch * depth) for offset, depth in zip(offsets, depths, strict=True)]
    small_tree(axes, places, parents, kinds)
    write(axes, left + 2.2, top - pitch * 0.35, "every node\ngets children", ha="right", linespacing=1.3)
    note = "beyond it, only paths\nof probability above\n" + r"$\rho_\mathrm{deep}$ grow"
    write(axes, left + 0.72, top - pitch * 4.5, note, ha="left", linespacing=1.3)
    write(axes, left + THIRD / 2, 0.28, "solid: gets children\ndashed: gets none", linespacing=1.3)


def _pruning(axes: Axes, left: float) -> None:
    """Draw a tree in which improbable nodes get no children and a full budget drops the least probable nodes."""
    top, pitch, x = 2.66, 0.55, left + 1.16
    offsets = [0, -0.44, 0.5, -0.66, -0.14, 0.3, 0.76, -0.85, -0.5, -0.08, 0.32]
    depths = [0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    parents = [-1, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    values = [1, 0.6, 0.3, 0.4, 0.15, 0.06, 0.04, 0.3, 0.08, 0.1, 0.02]
    kinds = ["own", *("drafted" if value >= 0.1 else "rejected" for value in values[1:])]
    places = [(x + offset, top - pitch * depth) for offset, depth in zip(offsets, depths, strict=True)]
    labels = ["1", *(f"{value:.2f}".lstrip("0") for value in values[1:])]
    small_tree(axes, places, parents, kinds, labels, radius=0.135)
    x, y = places[DROPPED]
    for tilt in (-0.15, 0.15):
        line(axes, (x - 0.15, y - tilt), (x + 0.15, y + tilt), color="#B03A00", linewidth=1.5, zorder=3.5)
    note = (
        r"dashed: path probability below $\tau$ or $\rho_\mathrm{stop}$,"
        + "\nverified but gets no children\n"
        + r"crossed out: beyond the node budget $N_\mathrm{max}$,"
        + "\nthe most probable nodes are kept"
    )
    write(axes, left + THIRD / 2, 0.44, note, linespacing=1.3, color=INK)
