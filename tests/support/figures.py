"""Helpers for tests of figures."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text

from dynatree.analysis.figures.style import save


def texts(figure: Figure) -> set[str]:
    """Return all visible texts of a figure."""
    figure.canvas.draw()
    return {text.get_text() for text in figure.findobj(Text) if text.get_visible()}


def assert_repeats(draw: Callable[[], Figure], folder: Path) -> None:
    """Assert that a figure drawn twice has the same bytes, as PDF and as PNG."""
    figures = draw(), draw()
    for suffix in ("pdf", "png"):
        paths = [folder / f"{number}.{suffix}" for number in range(2)]
        for figure, path in zip(figures, paths, strict=True):
            save(figure, path)
        first, second = (path.read_bytes() for path in paths)
        assert first == second
        assert len(first) > 5000
