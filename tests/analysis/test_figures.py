"""Figures: they name every case, repeat to the byte, and take one data set or a few cases."""

import pytest
from matplotlib.collections import PathCollection

from dynatree.analysis.figures.dtypes import figure as dtypes_figure
from dynatree.analysis.figures.efficiency import figure as efficiency_figure
from dynatree.analysis.figures.latency import figure as latency_figure
from dynatree.analysis.figures.length import figure as length_figure
from dynatree.analysis.figures.main import figure as main_figure
from dynatree.analysis.figures.memory import figure as memory_figure
from dynatree.analysis.figures.prompt_length import figure as prompt_length_figure
from dynatree.analysis.figures.prompts import figure as prompts_figure
from tests.support.figures import assert_repeats, texts
from tests.support.frames import (
    DATASETS,
    LABELS,
    PROMPTS,
    TUNED,
    dtype_frame,
    length_frame,
    main_frame,
    memory_frame,
    request_frame,
)

PER_CASE = {
    "main": (main_figure, main_frame),
    "prompts": (prompts_figure, request_frame),
    "latency": (latency_figure, main_frame),
    "efficiency": (efficiency_figure, main_frame),
    "memory": (memory_figure, memory_frame),
}
TUNED_CASES = {
    "length": (length_figure, length_frame),
    "prompt_length": (prompt_length_figure, length_frame),
    "dtypes": (dtypes_figure, dtype_frame),
}
UNSHOWN = {"prompts": {"autoregressive"}, "efficiency": {"autoregressive", "hf_generate"}}


@pytest.mark.parametrize("name", ["main", "efficiency", "length"])  # bars, points, lines
def test_figures_repeat_to_the_byte(name, tmp_path):
    draw, build = (PER_CASE | TUNED_CASES)[name]
    assert_repeats(lambda: draw(build()), tmp_path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", PER_CASE)
@pytest.mark.parametrize("datasets", [tuple(DATASETS), ("narrative",)])
@pytest.mark.parametrize("cases", [tuple(LABELS), ("autoregressive", "dynatree")])
def test_every_case_and_data_set_is_named(name, datasets, cases):
    draw, build = PER_CASE[name]
    shown = texts(draw(build(datasets=datasets, cases=cases)))
    assert {LABELS[case] for case in set(cases) - UNSHOWN.get(name, set())} <= shown
    assert {label for dataset, label in DATASETS.items() if dataset in datasets} <= shown


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", TUNED_CASES)
@pytest.mark.parametrize("datasets", [tuple(DATASETS), ("narrative",)])
@pytest.mark.parametrize("points", [1, 2, 4])
def test_scaling_and_dtypes_take_any_number_of_points(name, datasets, points):
    draw, build = TUNED_CASES[name]
    data = build(datasets=datasets)
    factor = "dtype" if name == "dtypes" else "limit"
    kept = list(dict.fromkeys(data[factor]))[:points]
    shown = texts(draw(data[data[factor].isin(kept)]))
    assert {LABELS[case] for case in TUNED} <= shown
    assert str(kept[-1]) in shown


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", PER_CASE)
def test_a_case_that_one_data_set_lacks_leaves_a_gap(name):
    draw, build = PER_CASE[name]
    data = build()
    shown = texts(draw(data[~((data["case"] == "chain") & (data["dataset"] == "narrative"))]))
    assert LABELS["chain"] in shown
    assert "nan" not in " ".join(shown)


@pytest.mark.parametrize("name", PER_CASE | TUNED_CASES)
def test_labels_are_shown_literally(name):
    draw, build = (PER_CASE | TUNED_CASES)[name]
    data = build()
    data.loc[data["case"] == "dynatree", "label"] = "A $x_1$ & 100%"
    data["dataset_label"] = data["dataset_label"] + " $y"
    shown = texts(draw(data))
    assert {r"A \$x_1\$ & 100%", r"Narrative \$y"} <= shown


def test_every_prompt_is_a_dot():
    figure = prompts_figure(request_frame())
    dots = [found for found in figure.findobj(PathCollection) if found.get_sizes()[0] == 22]
    assert sum(len(found.get_offsets()) for found in dots) == 2 * PROMPTS * (len(LABELS) - 1)


def test_dtypes_show_the_identical_outputs():
    shown = texts(dtypes_figure(dtype_frame()))
    assert {f"{PROMPTS}/{PROMPTS}", f"{PROMPTS - 2}/{PROMPTS}"} <= shown


def test_memory_shows_total_and_ratio():
    shown = texts(memory_figure(memory_frame()))
    assert "539 (1.00x)" in shown
    assert "608 (1.13x)" in shown
