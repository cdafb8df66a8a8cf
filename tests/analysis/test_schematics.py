"""Figures that are drawn from no measurement, and the tree of a real round."""

import random
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Text

from dynatree.analysis.figures.paradigms import figure as paradigms_figure
from dynatree.analysis.figures.policy import figure as policy_figure
from dynatree.analysis.figures.round import figure as round_figure
from dynatree.analysis.figures.tree import MOST, visible
from dynatree.analysis.figures.tree import figure as tree_figure
from dynatree.utils.files import write_json
from tests.support.figures import assert_repeats

ROOT = Path(__file__).resolve().parents[2]
ODD = [
    " ",
    "\n",
    "\t\r\n",
    "$x_1^2$",
    "\\frac{",
    "日本",
    " antidisestablishmentarianism",
    "<|end|>",
    "",
    "é",
    "%",
    "\x00",
    "🙂",
]


def drafted(nodes: int, seed: int = 0, depth: int = 8) -> dict:
    """A random tree of so many nodes, the root included, with odd tokens and a long accepted path."""
    chance = random.Random(seed)
    parents, depths, probabilities = [-1], [0], [1.0]
    for _ in range(nodes - 1):
        parent = chance.choice([n for n, d in enumerate(depths) if d >= depths[-1] - 1 and d < depth] or [0])
        parents.append(parent)
        depths.append(depths[parent] + 1)
        probabilities.append(probabilities[parent] * chance.random())
    path, node = [], nodes - 1
    while node:
        path.insert(0, node)
        node = parents[node]
    return {
        "prompt": "odd $x_1$ " + "and long " * 9,
        "root": "\n",
        "tokens": ["\n", *(chance.choice(ODD) for _ in range(nodes - 1))],
        "parents": parents,
        "depths": depths,
        "path_probabilities": probabilities,
        "accepted": path,
        "bonus": " _bonus_^$",
        "new_position": 3,
    }


FIGURES = {
    "paradigms": paradigms_figure,
    "round": round_figure,
    "policy": policy_figure,
    "tree": lambda: tree_figure(drafted(MOST)),
}


@pytest.fixture(autouse=True)
def closed():
    """Leave no figure open."""
    yield
    plt.close("all")


def texts(figure) -> list[Text]:
    figure.canvas.draw()
    return [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]


def overlapping(figure) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes, less a margin of two pixels, share ground."""
    boxes = [
        (text.get_text(), text.get_window_extent().padded(-2)) for text in texts(figure) if text.axes.axison is False
    ]
    return [
        (a, b)
        for index, (a, first) in enumerate(boxes)
        for b, second in boxes[index + 1 :]
        if first.overlaps(second) and min(first.width, second.width) > 0
    ]


def assert_readable(figure) -> None:
    width, height = figure.canvas.get_width_height()
    for text in texts(figure):
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text.get_text()
        assert text.get_fontsize() >= 7
    assert not overlapping(figure)


@pytest.mark.filterwarnings("error::UserWarning")  # such as a glyph that the font lacks
@pytest.mark.parametrize("name", FIGURES)
def test_text_is_whole_and_does_not_overlap(name):
    assert_readable(FIGURES[name]())


def test_schematics_repeat_to_the_byte(tmp_path):
    assert_repeats(FIGURES["round"], tmp_path)


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("nodes", [2, 3, 7, 16, MOST])
def test_trees_of_every_size_are_readable(nodes):
    for seed in range(3):
        figure = tree_figure(drafted(nodes, seed))
        assert figure.get_size_inches()[0] == 7.2
        assert_readable(figure)
        plt.close(figure)


def test_a_large_tree_shows_accepted_and_most_probable_nodes():
    tree = drafted(80, depth=5)
    figure = tree_figure(tree)
    assert_readable(figure)
    shown = {text.get_text() for text in texts(figure)}
    assert {str(node) for node in [0, *tree["accepted"]]} <= shown
    assert any(f"({MOST - 1} of 79 shown)" in text for text in shown)


def test_a_round_without_accepted_tokens_shows_the_bonus_at_the_root():
    tree = drafted(5) | {"accepted": []}
    assert "␣_bonus_^$" in {text.get_text() for text in texts(tree_figure(tree))}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" a\n", "␣a↵"),
        ("\t\r", "⇥←"),
        ("$x_1^2$", "$x_1^2$"),
        ("日\x00", "\N{REPLACEMENT CHARACTER}" * 2),
        (" antidisestablishmentarianism", "␣antidisest…"),
        ("", ""),
    ],
)
def test_tokens_become_visible(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize("name", ["round", "tree"])  # without and with an input
def test_the_script_draws(name, tmp_path, preloaded_python):
    command = [
        preloaded_python,
        ROOT / "scripts/figure.py",
        name,
        "--pdf",
        tmp_path / "f.pdf",
        "--png",
        tmp_path / "f.png",
    ]
    if name == "tree":
        write_json(tmp_path / "tree.json", drafted(9))
        command += ["--input", tmp_path / "tree.json"]
    subprocess.run(command, check=True, cwd=ROOT)
    assert (tmp_path / "f.pdf").stat().st_size > 5000 < (tmp_path / "f.png").stat().st_size
