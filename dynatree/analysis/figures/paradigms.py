"""Schematic of autoregressive decoding, a chain and a tree."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynatree.analysis.figures.schematic import INK, line, page, token, write

WIDTH, HEIGHT = 7.2, 3.85
TOP, PITCH = 3.3, 0.39  # of the rows, one per text position
MAIN, SIDE, BRACKET, BOX = 0.95, 1.78, 0.48, 0.66  # columns of a panel, and the width of a token


@dataclass
class Paradigm:
    """A decoding scheme: ``emitted`` tokens from the top, ``rejected`` ones as (row, text, column of the parent)."""

    title: str
    emitted: list[tuple[str, str]]
    rejected: list[tuple[int, str, str]]
    passes: list[tuple[int, int]]
    cost: str


TEXT = ("… keeper", "text")
PARADIGMS = (
    Paradigm(
        "Autoregressive",
        [TEXT, ("lit", "own"), ("the", "own"), ("lamp", "own"), ("at", "own"), ("dusk", "own")],
        [],
        [(row, row) for row in range(1, 6)],
        "5 target forward passes, no draft",
    ),
    Paradigm(
        "Chain of K = 3",
        [TEXT, ("lit", "accepted"), ("the", "accepted"), ("lamp", "own"), ("at", "accepted"), ("dusk", "own")],
        [(3, "door", "main"), (5, "dawn", "main"), (6, "and", "side")],
        [(1, 3), (4, 5)],
        "2 target, 6 draft forward passes",
    ),
    Paradigm(
        "Tree of depth 4",
        [TEXT, *((word, "accepted") for word in ("lit", "the", "lamp", "at")), ("dusk", "own")],
        [(1, "was", "main"), (2, "a", "main"), (3, "door", "main"), (4, "in", "main")],
        [(1, 5)],
        "1 target, 4 draft forward passes",
    ),
)
LEGEND = {
    "text": "text so far",
    "accepted": "drafted, accepted",
    "rejected": "drafted, rejected",
    "own": "the target's own choice",
}


def figure() -> Figure:
    """Draw the same five tokens decoded autoregressively, with chains and with a tree."""
    figure, axes = page(WIDTH, HEIGHT)
    for index, paradigm in enumerate(PARADIGMS):
        _panel(axes, index * WIDTH / 3, paradigm)
    for index in (1, 2):
        line(axes, (index * WIDTH / 3, 0.42), (index * WIDTH / 3, HEIGHT - 0.15), color="#CCCCCC")
    _legend(axes)
    return figure


def _panel(axes: Axes, left: float, paradigm: Paradigm) -> None:
    columns = {"main": left + MAIN, "side": left + SIDE}
    write(axes, left + WIDTH / 6, HEIGHT - 0.2, paradigm.title, fontsize=9, fontweight="bold")
    for row, (word, kind) in enumerate(paradigm.emitted):
        if row:
            style = {"accepted": {"color": "#00573F", "linewidth": 2}}.get(kind, {"color": "#7A4F00", "linewidth": 1.6})
            line(axes, (columns["main"], _y(row - 1)), (columns["main"], _y(row)), **style)
        token(axes, columns["main"], _y(row), word, kind, width=BOX)
    for row, word, parent in paradigm.rejected:
        line(axes, (columns[parent], _y(row - 1)), (columns["side"], _y(row)), linestyle=(0, (2.5, 1.5)))
        token(axes, columns["side"], _y(row), word, "rejected", width=BOX)
    for number, (first, last) in enumerate(paradigm.passes, 1):
        _bracket(axes, left + BRACKET, _y(first) + 0.14, _y(last) - 0.14, f"pass {number}")
    write(axes, left + WIDTH / 6, 0.64, paradigm.cost, fontsize=8)


def _bracket(axes: Axes, x: float, top: float, bottom: float, label: str) -> None:
    for start, end in (((x, top), (x, bottom)), ((x, top), (x + 0.07, top)), ((x, bottom), (x + 0.07, bottom))):
        line(axes, start, end, color=INK, linewidth=1.2)
    write(axes, x - 0.1, (top + bottom) / 2, label, rotation=90)


def _y(row: int) -> float:
    return TOP - PITCH * row


def _legend(axes: Axes) -> None:
    line(axes, (0.2, 0.36), (WIDTH - 0.2, 0.36), color="#CCCCCC")
    x = 0.15
    for kind, label in LEGEND.items():
        token(axes, x + 0.12, 0.17, "", kind, width=0.24, height=0.15)
        write(axes, x + 0.3, 0.17, label, ha="left")
        x += 0.42 + 0.055 * len(label)
    line(axes, (x + 0.05, 0.1), (x + 0.05, 0.24), color=INK, linewidth=1.2)
    for y in (0.1, 0.24):
        line(axes, (x + 0.05, y), (x + 0.12, y), color=INK, linewidth=1.2)
    write(axes, x + 0.2, 0.17, "one target forward pass", ha="left", color=INK)
