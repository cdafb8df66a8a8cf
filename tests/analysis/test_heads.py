"""What is said and shown of attention heads."""

import pytest
from matplotlib.collections import PathCollection

from dynatree.analysis.figures.head_kinds import LOOKS
from dynatree.analysis.figures.head_kinds import figure as head_kinds_figure
from dynatree.analysis.figures.heads import figure as heads_figure
from dynatree.analysis.heads import distances, head_facts, layer_parts
from dynatree.analysis.tables.heads import table as heads_table
from dynatree.heads import classification as headkinds
from dynatree.heads.classification import KINDS
from tests.support.figures import assert_repeats, texts
from tests.support.frames import HEAD_KINDS, head_content, head_frame

FIGURES = {"heads": heads_figure, "head_kinds": head_kinds_figure}
SIZES = [(1, 1), (3, 6), (30, 9), (32, 32)]


def test_the_kinds_are_those_of_the_classification():
    assert KINDS == headkinds.KINDS == tuple(LOOKS)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(("layers", "heads"), SIZES)
def test_figures_take_models_of_any_size(name, layers, heads):
    shown = texts(FIGURES[name](head_frame(layers, heads)))
    assert {"layer", "entropy, nats", "sink mass"} <= shown


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kinds", [("sink",), ("global", "local"), KINDS])
def test_the_kinds_that_there_are_are_named(kinds):
    figure = head_kinds_figure(head_frame(kinds=kinds))
    assert texts(figure) & set(KINDS) == set(kinds)
    dots = [len(found.get_offsets()) for found in figure.findobj(PathCollection)]
    assert sum(dots) >= 24


def test_figures_repeat_to_the_byte(tmp_path):
    assert_repeats(lambda: heads_figure(head_frame()), tmp_path)


def test_a_head_of_every_layer_is_a_cell():
    images = [axes.images[0].get_array() for axes in heads_figure(head_frame(5, 4)).axes if axes.images]
    assert [image.shape for image in images] == [(4, 5), (4, 5)]
    assert images[1].max() == 0.6


def test_the_table_counts_heads_by_third_of_the_layers():
    frame, latex = heads_table(head_frame())
    assert list(frame["layers"]) == ["early, layers 0 to 1", "middle, layers 2 to 3", "late, layers 4 to 5", "all"]
    assert list(frame["heads"]) == [8, 8, 8, 24]
    assert list(frame.loc[3, list(KINDS)]) == [6, 6, 6, 6]
    assert frame.loc[3, "with_window"] == 18
    assert frame.loc[3, "median_window"] == 32
    assert latex.count(r"\\") == 2 + 4


def test_a_table_without_windows_has_a_dash():
    frame, latex = heads_table(head_frame(kinds=("global",)))
    assert frame["median_window"].isna().all()
    assert "nan" not in latex
    assert latex.count(" -- ") == 4


@pytest.mark.parametrize(("layers", "parts"), [(1, 1), (2, 2), (3, 3), (7, 3)])
def test_every_layer_is_in_one_part(layers, parts):
    found = layer_parts(head_frame(layers, 2))
    assert len(found) == parts
    assert sum(len(rows) for _, rows in found) == 2 * layers
    assert found[0][0] == ("early, layers 0 to 2" if layers == 7 else "early, layer 0")


def test_facts_count_heads_and_the_keys_they_share():
    facts = head_facts(head_content())
    assert facts.counts == dict.fromkeys(HEAD_KINDS, 6)
    assert (facts.layers, facts.heads, facts.kv_heads) == (6, 24, 12)
    assert (facts.bounded, facts.kv_bounded, facts.window) == (18, 6, 32)
    assert facts.sink_above_fifth == 6
    assert facts.sink.max == 0.6
    assert facts.entropy.min == 1.01 - 0.01


def test_facts_without_windows():
    facts = head_facts(head_content(kinds=("global",)))
    assert (facts.bounded, facts.kv_bounded, facts.window) == (0, 0, None)


def test_columns_of_the_profile_name_their_distance():
    assert list(distances(head_frame()).values()) == head_content()["edges"]
