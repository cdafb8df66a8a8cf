"""Fixtures of all tests of tables and figures."""

import pytest

from dynatree.analysis.figures.style import plt


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")
