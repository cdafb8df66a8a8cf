"""Tree drafted in a real round, and its attention mask."""

import matplotlib.font_manager as fonts
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from dynatree.analysis.figures.schematic import FAINT, INK, KINDS, SMALL, line, node, page, token, write

MOST = 24  # nodes shown, including the root
LONGEST = 12  # characters shown of a token
WIDTH, PITCH = 7.2, 0.19
MASK_WIDTH = 2.75
LEGEND = {"accepted": "accepted", "rejected": "rejected", "own": "the target's own choice: root and next root"}
BONUS = {
    "bbox": {"boxstyle": "round,pad=0.22,rounding_size=0.3", **KINDS["own"]},
    "arrowprops": {
        "arrowstyle": "<|-",
        "color": KINDS["own"]["edgecolor"],
        "mutation_scale": 7,
        "shrinkA": 0,
        "shrinkB": 2,
    },
    "parse_math": False,
}
SIGNS = {" ": "␣", "\n": "↵", "\r": "←", "\t": "⇥"}


def figure(drafted: dict) -> Figure:
    """Draw the tree with its accepted path and bonus token, and the nodes to which each node attends.

    Every node has its own row below its parent, so texts of any length fit. If a tree has more than 24 nodes, only the
    accepted and the most probable ones are shown.

    Args:
        drafted: from :func:`dynatree.benchmark.example_tree.illustrate`.
    """
    order = _rows(drafted, _shown(drafted))
    height = 1.1 + PITCH * len(order)
    figure, axes = page(WIDTH, height)
    top = height - 0.62
    _titles(axes, drafted, len(order), height)
    _tree(axes, drafted, order, top)
    _mask(axes, drafted, order, top)
    _legend(axes)
    return figure


def visible(text: str) -> str:
    """Return the text of a token with signs for white space, truncated if it is long."""
    return printable("".join(SIGNS.get(c, c) for c in text), LONGEST)


def printable(text: str, longest: int) -> str:
    """Return ``text`` truncated to ``longest`` characters, with a replacement sign for those missing in the font."""
    faces = [fonts.get_font(fonts.findfont(f"DejaVu Sans:{weight}")) for weight in ("normal", "bold")]
    drawn = [c.isprintable() and all(face.get_char_index(ord(c)) for face in faces) for c in text]
    signs = [c if known else "\N{REPLACEMENT CHARACTER}" for c, known in zip(text, drawn, strict=True)]
    return "".join(signs if len(signs) <= longest else [*signs[: longest - 1], "…"])


def _shown(drafted: dict) -> set[int]:
    """Return the root, the accepted and the most probable nodes; a node is at most as probable as its parent."""
    probabilities = drafted["path_probabilities"]
    kept = [0, *drafted["accepted"]]
    others = set(range(len(probabilities))) - set(kept)
    best = sorted(others, key=lambda n: (-probabilities[n], n))  # ties go to the parent, which has the lower number
    return {*kept, *best[: max(0, MOST - len(kept))]}


def _rows(drafted: dict, shown: set[int], start: int = 0) -> list[int]:
    """Return the nodes from the top: each is followed by its first child with descendants, then by the next child."""
    children = [n for n in sorted(shown) if drafted["parents"][n] == start]
    return [start, *(n for child in children for n in _rows(drafted, shown, child))]


def _titles(axes: Axes, drafted: dict, shown: int, height: float) -> None:
    total = len(drafted["tokens"])
    part = f" ({shown - 1} of {total - 1} shown)" if shown < total else ""
    prompt = printable(drafted["prompt"], longest=24)
    where = f"prompt {prompt}, root: new token {drafted['new_position'] + 1}, drafted tokens: {total - 1}"
    write(axes, 0.12, height - 0.17, where, ha="left", fontsize=8, fontweight="bold", parse_math=False)
    write(axes, 0.12, height - 0.38, f"token, and the draft's probability of the path{part}", ha="left")
    write(
        axes, WIDTH - 0.12, height - 0.17, "each row sees the marked columns", ha="right", fontsize=8, fontweight="bold"
    )


def _tree(axes: Axes, drafted: dict, order: list[int], top: float) -> None:
    """Draw the nodes one below the other, indented by depth, each with its token and path probability."""
    indent = min(0.3, 1.7 / max(drafted["depths"]))
    places = {n: (0.24 + indent * drafted["depths"][n], top - PITCH * row) for row, n in enumerate(order)}
    accepted = drafted["accepted"]
    for n in sorted(order, key=lambda n: n in accepted):  # accepted edges are drawn last, on top
        if n:
            _elbow(axes, places[drafted["parents"][n]], places[n], n in accepted)
    for n, (x, y) in places.items():
        kind = "own" if n == 0 else "accepted" if n in accepted else "rejected"
        node(axes, x, y, kind, str(n), radius=0.08)
        weight = "bold" if kind == "accepted" else "normal"
        text = visible(drafted["tokens"][n])
        label = write(axes, x + 0.12, y - 0.005, text, ha="left", fontsize=7.5, fontweight=weight, parse_math=False)
        if n:
            label = _behind(axes, label, f"{drafted['path_probabilities'][n]:.2f}", 4, fontsize=SMALL, color=FAINT)
        if n == (accepted[-1] if accepted else 0):
            _behind(axes, label, visible(drafted["bonus"]), 22, fontsize=7.5, color=INK, **BONUS)


def _behind(axes: Axes, before: Text, text: str, points: float, **options) -> Text:
    """Write text on the same line as ``before``, ``points`` behind it."""
    return axes.annotate(
        text, (1, 0.5), xycoords=before, xytext=(points, 0), textcoords="offset points", va="center", **options
    )


def _elbow(axes: Axes, parent: tuple[float, float], child: tuple[float, float], accepted: bool) -> None:
    style = {"color": "#00573F", "linewidth": 2} if accepted else {}
    line(axes, parent, (parent[0], child[1]), **style)
    line(axes, (parent[0], child[1]), child, **style)


def _mask(axes: Axes, drafted: dict, order: list[int], top: float) -> None:
    """Draw one row per query, level with its node; one column for the text, then one per node."""
    cell = min(PITCH, MASK_WIDTH / (len(order) + 2))
    left = WIDTH - 0.12 - cell * len(order)
    accepted = {0, *drafted["accepted"]}
    for row, query in enumerate(order):
        y = top - PITCH * (row + 0.5)
        _cell(axes, left - 2.4 * cell, y, 2 * cell, "#BBBBBB")
        seen, n = set(), query
        while n >= 0:
            seen.add(n)
            n = drafted["parents"][n]
        for column, key in enumerate(order):
            both = query in accepted and key in accepted
            color = "white" if key not in seen else KINDS["accepted"]["facecolor"] if both else "#0072B2"
            _cell(axes, left + cell * column, y, cell, color)
        write(axes, left - 2.4 * cell - 0.06, y + PITCH / 2 - 0.005, str(query), ha="right")
    for column, key in enumerate(order):
        write(axes, left + cell * (column + 0.5), top + 0.2, str(key), rotation=90 if len(order) > 12 else 0)
    write(axes, left - 1.4 * cell, top + 0.2, "text", ha="center" if cell > 0.14 else "right")


def _cell(axes: Axes, x: float, y: float, width: float, color: str) -> None:
    axes.add_patch(Rectangle((x, y), width, PITCH, facecolor=color, edgecolor="#CCCCCC", linewidth=0.5))


def _legend(axes: Axes) -> None:
    x = 0.15
    for kind, label in LEGEND.items():
        token(axes, x + 0.1, 0.17, "", kind, width=0.2, height=0.13)
        write(axes, x + 0.25, 0.17, label, ha="left")
        x += 0.42 + 0.055 * len(label)
