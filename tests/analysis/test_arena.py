"""The table and the figure of free drafters."""

from dynatree.analysis.figures.arena import figure
from dynatree.analysis.tables.arena import table
from tests.support.arena_frames import arena_frame


def test_the_table_has_the_sums_and_the_data_every_category():
    frame, latex = table(arena_frame())
    assert len(frame) == len(arena_frame())
    assert r"SAM & 2.00 & 2.00 & 1.60 & 4 & 1.00 \\" in latex
    assert r"Merged & 3.00 & 3.00 & 2.40 & 4 & 1.00 \\" in latex
    assert "nan" not in latex


def test_the_figure_has_a_line_per_drafter():
    rounds, speed = figure(arena_frame()).axes
    assert [line.get_label() for line in rounds.get_lines()[:2]] == ["SAM", "Merged"]
    assert speed.get_lines()[1].get_ydata().tolist() == [2.4, 1.5]
