"""Schematic of one round of DynaTree."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from dynatree.analysis.figures.schematic import FAINT, INK, KINDS, arrow, line, node, page, small_tree, write

WIDTH, HEIGHT = 7.2, 3.75
PANEL = (2.16, 1.62)
LEFTS = (0.12, 2.52, 4.92)
BOTTOMS = (1.98, 0.12)
PARENTS = [-1, 0, 0, 1, 1, 2, 4, 4]
DEPTHS = [0, 1, 1, 2, 2, 2, 3, 3]
HEIGHTS = [0.42, 0.6, 0.12, 0.74, 0.46, 0.12, 0.6, 0.32]  # heights of the nodes
ACCEPTED = [1, 4, 6]
CELL = 0.135
RATES = (0.45, 0.6, 0.75, 1.0, 0.5, 0.8, 1.0, 0.75)


def figure() -> Figure:
    """Draw the six steps of a round in a circle: root, draft, verify, accept, keep, observe."""
    figure, axes = page(WIDTH, HEIGHT)
    places = [(left, BOTTOMS[0]) for left in LEFTS] + [(left, BOTTOMS[1]) for left in reversed(LEFTS)]
    for number, ((title, caption, draw), place) in enumerate(zip(STEPS, places, strict=True), 1):
        _panel(axes, *place, f"{number}  {title}", caption)
        draw(axes, *place)
    _circle(axes)
    return figure


def _panel(axes: Axes, left: float, bottom: float, title: str, caption: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (left, bottom), *PANEL, boxstyle="round,pad=0,rounding_size=0.08", facecolor="#FAFAFA", edgecolor=FAINT
        )
    )
    write(axes, left + 0.1, bottom + PANEL[1] - 0.15, title, ha="left", fontsize=9, fontweight="bold")
    write(axes, left + PANEL[0] / 2, bottom + 0.19, caption, linespacing=1.25)


def _circle(axes: Axes) -> None:
    """Draw arrows from each step to the next, and from the last one to the first."""
    for row, step in zip(BOTTOMS, (1, -1), strict=True):
        y = row + PANEL[1] / 2
        for left in LEFTS[:2]:
            ends = (left + PANEL[0] + 0.02, y), (left + 2.4 - 0.02, y)
            arrow(axes, *ends[::step])
    top, bottom = BOTTOMS[0] - 0.02, BOTTOMS[1] + PANEL[1] + 0.02
    arrow(axes, (LEFTS[2] + PANEL[0] / 2, top), (LEFTS[2] + PANEL[0] / 2, bottom))
    arrow(axes, (LEFTS[0] + PANEL[0] / 2, bottom), (LEFTS[0] + PANEL[0] / 2, top))


def _tree(axes: Axes, left: float, bottom: float, kinds: list[str], step: float) -> list[tuple[float, float]]:
    places = [(left + step * depth, bottom + y) for depth, y in zip(DEPTHS, HEIGHTS, strict=True)]
    small_tree(axes, places, PARENTS, kinds, [str(index) for index in range(len(PARENTS))])
    return places


def _cells(axes: Axes, left: float, bottom: float, cells: list[tuple[str, str]]) -> None:
    """Draw cache entries as a strip of cells (text, kind); kind "" is an empty cell."""
    for index, (text, kind) in enumerate(cells):
        style = KINDS.get(kind, {"facecolor": "white", "edgecolor": "#CCCCCC"})
        corner = (left + CELL * index, bottom)
        axes.add_patch(Rectangle(corner, CELL, CELL, zorder=3 if kind else 2, **({"linewidth": 0.7} | style)))
        color = "white" if kind == "accepted" else INK
        write(axes, corner[0] + CELL / 2, bottom + CELL / 2 - 0.005, text, color=color, zorder=4)


def _root(axes: Axes, left: float, bottom: float) -> None:
    _cells(axes, left + 0.3, bottom + 0.85, [("", "text")] * 6)
    end = left + 0.3 + 6 * CELL
    write(axes, left + 0.3 + 3 * CELL, bottom + 1.1, "target's cache")
    small_tree(axes, [(end + 0.45, bottom + 0.85 + CELL / 2)], [-1], ["own"], ["0"])
    write(axes, end + 0.45, bottom + 1.1, "root")
    line(axes, (end + 0.05, bottom + 0.85 + CELL / 2), (end + 0.35, bottom + 0.85 + CELL / 2))
    write(axes, left + PANEL[0] / 2, bottom + 0.62, "all emitted tokens but the last")


def _draft(axes: Axes, left: float, bottom: float) -> None:
    left, step = left + 0.38, 0.49
    _tree(axes, left, bottom + 0.42, ["own"] + ["drafted"] * 7, step)
    for level in (1, 2, 3):
        x = left + step * level
        line(axes, (x, bottom + 0.4), (x, bottom + 1.29), color="#BBBBBB", linestyle=(0, (1, 2)))
        write(axes, x, bottom + 1.36, f"pass {level}")


def _verify(axes: Axes, left: float, bottom: float) -> None:
    _tree(axes, left + 0.2, bottom + 0.42, ["own"] + ["drafted"] * 7, 0.27)
    size = 0.098
    x, y = left + 1.27, bottom + 0.45
    for row in range(8):
        key, seen = row, set()
        while key >= 0:
            seen.add(key)
            key = PARENTS[key]
        for column in range(8):
            corner = (x + size * column, y + size * (7 - row))
            color = "#0072B2" if column in seen else "white"
            axes.add_patch(Rectangle(corner, size, size, facecolor=color, edgecolor="#BBBBBB", linewidth=0.5))
    write(axes, x + 4 * size, y + 8 * size + 0.09, "tree mask")


def _accept(axes: Axes, left: float, bottom: float) -> None:
    kinds = ["accepted" if index in ACCEPTED else "rejected" for index in range(8)]
    places = _tree(axes, left + 0.3, bottom + 0.45, ["own", *kinds[1:]], 0.42)
    last, own = places[ACCEPTED[-1]], (left + 1.9, bottom + 1.15)
    line(axes, last, own, color=KINDS["own"]["edgecolor"], linewidth=1.6)
    node(axes, *own, "own")
    write(axes, own[0] - 0.02, own[1] + 0.17, "next root")


def _keep(axes: Axes, left: float, bottom: float) -> None:
    x, upper, lower = left + 0.27, bottom + 1.13, bottom + 0.6
    text = [("", "text")] * 4
    nodes = [("0", "own")] + [(str(n), "accepted" if n in ACCEPTED else "rejected") for n in range(1, 8)]
    _cells(axes, x, upper, text + nodes)
    _cells(axes, x, lower, [*text, ("0", "own"), *((str(n), "accepted") for n in ACCEPTED), *[("", "")] * 4])
    for place, row in enumerate([0, *ACCEPTED]):
        start, end = (x + CELL * (4.5 + row), upper - 0.03), (x + CELL * (4.5 + place), lower + CELL + 0.03)
        arrow(axes, start, end, mutation_scale=6, linewidth=0.9)


def _observe(axes: Axes, left: float, bottom: float) -> None:
    x, y, height = left + 0.2, bottom + 0.55, 0.66
    for index, rate in enumerate(RATES):
        corner = (x + 0.115 * index, y)
        axes.add_patch(Rectangle(corner, 0.085, height, facecolor="white", edgecolor=FAINT, linewidth=0.6))
        axes.add_patch(Rectangle(corner, 0.085, height * rate, facecolor=KINDS["accepted"]["facecolor"]))
    line(axes, (x - 0.05, y + 0.7 * height), (x + 0.95, y + 0.7 * height), color=INK, zorder=5, linestyle=(0, (3, 2)))
    write(axes, x + 0.45, y - 0.09, "last rounds")
    write(axes, x + 0.98, y + 0.7 * height, "target", ha="left")
    write(axes, x + 0.98, y + height + 0.04, "↑ deeper, narrower", ha="left")
    write(axes, x + 0.98, y + 0.1, "↓ flatter, wider", ha="left")


STEPS = (
    ("Root", "The round starts from the last emitted\ntoken, which no cache holds yet.", _root),
    ("Draft", "One draft forward pass per level; the policy\nsets breadth, depth and pruning.", _draft),
    ("Verify", "One target forward pass; a node attends\nto the text and its ancestors.", _verify),
    ("Accept", "Follow children that are the target's own\nchoice, then emit its next choice as well.", _accept),
    ("Keep", "Both caches keep the accepted entries in\nplace; nothing is computed twice.", _keep),
    ("Observe", "Accepted share of the drafted depth\nadjusts base depth and thresholds.", _observe),
)
