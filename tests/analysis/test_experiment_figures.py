"""Figures and tables of the experiments over settings: complete, repeatable and readable on every shipped grid."""

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from dynatree.analysis.figures.ablation import figure as ablation_figure
from dynatree.analysis.figures.pruning import figure as pruning_figure
from dynatree.analysis.figures.sensitivity import figure as sensitivity_figure
from dynatree.analysis.figures.sweep import figure as sweep_figure
from dynatree.analysis.tables.ablation import table as ablation_table
from dynatree.analysis.tables.pruning import table as pruning_table
from dynatree.analysis.tables.sensitivity import table as sensitivity_table
from dynatree.analysis.tables.sweep import fastest, pooled
from dynatree.analysis.tables.sweep import table as sweep_table
from dynatree.analysis.tune import choose
from tests.support.experiment_frames import experiment_frame
from tests.support.figures import assert_repeats, texts

FIGURES = {
    "sweep": sweep_figure,
    "ablation": ablation_figure,
    "pruning": pruning_figure,
    "sensitivity": sensitivity_figure,
}
TABLES = {"sweep": sweep_table, "ablation": ablation_table, "pruning": pruning_table, "sensitivity": sensitivity_table}
GRIDS = ("ci", "demo", "paper")


def body(latex: str) -> list[list[str]]:
    """The cells of all rows below the header, titles of groups left out."""
    lines = [line for block in latex.split("\\midrule\n")[1:] for line in block.split("\n") if line.endswith(r"\\")]
    return [line.removesuffix(r" \\").split(" & ") for line in lines if not line.startswith(r"\multicolumn")]


def expected(name: str, data) -> set[str]:
    """What a figure must name."""
    drafting = data[data["case"] != "autoregressive"]
    if name == "ablation":
        return set(drafting["label"]) | set(data["dataset_label"])
    if name == "sensitivity":
        settings = drafting["setting"].dropna().str.replace("_", " ")
        return set(settings) | {f"DynaTree, {label}" for label in data["dataset_label"]}
    depths = {f"{depth:g}" for depth in drafting["depth"]}
    if name == "pruning":
        pruned = {f"pruned below {t:g}" for t in drafting["threshold"] if t}
        return depths | pruned | {"not pruned"} | set(data["dataset_label"])
    return depths | {f"{t:g}" for t in drafting.loc[drafting["branch"] > 1, "threshold"]} | set(data["dataset_label"])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(("grid", "datasets"), [("ci", 1), ("demo", 2), ("paper", 1)])
def test_figures_name_every_setting(name, grid, datasets):
    data = experiment_frame(name, grid, datasets)
    shown = texts(FIGURES[name](data))
    assert expected(name, data) <= set(shown)
    assert "nan" not in " ".join(shown)


def test_figures_repeat_to_the_byte(tmp_path):
    assert_repeats(lambda: sweep_figure(experiment_frame("sweep")), tmp_path)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_fit_the_page(name):
    width, height = FIGURES[name](experiment_frame(name, "paper", 2)).get_size_inches()
    assert width <= 7.2
    assert height <= 9.7


def beyond_the_axes(figure: Figure) -> set[Text]:
    """Labels of ticks outside of the limits, which exist but are not drawn."""
    found = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            found |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    return found


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("grid", ["ci", "paper"])
def test_texts_do_not_overlap(name, grid):
    figure = FIGURES[name](experiment_frame(name, grid, 2))
    figure.canvas.draw()
    hidden = beyond_the_axes(figure)
    drawn = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text() and text not in hidden]
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn]
    for index, (text, box) in enumerate(boxes):
        assert figure.bbox.fully_containsx(box.x0) and figure.bbox.fully_containsx(box.x1), text
        for other, against in boxes[index + 1 :]:
            assert not box.overlaps(against), f"{text!r} and {other!r}"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["sweep", "pruning"])
def test_a_grid_of_one_tree_is_drawn(name):
    data = experiment_frame(name, "ci", 1)
    trees = data["method"] == "fixed_tree"
    one = (data["branch"] == 2) & (data["depth"] == 2) & (data["threshold"] == 0.02)
    kept = data[~trees | one]
    assert "2" in texts(FIGURES[name](kept))
    assert len(TABLES[name](kept)[0]) == len(kept)


@pytest.mark.parametrize("name", FIGURES)
def test_labels_are_shown_literally(name):
    data = experiment_frame(name)
    data["dataset_label"] = data["dataset_label"] + " $x_1$ & #1"
    assert any(r"\$x_1\$ & #1" in text for text in texts(FIGURES[name](data)))
    _, latex = TABLES[name](data)
    assert r"Encyclopaedic \$x\_1\$ \& \#1" in latex


def test_the_marked_tree_is_the_one_that_tuning_chooses():
    data = experiment_frame("sweep", "paper")
    chosen = choose(data)["WikiText-2"]["fixed_tree"]
    figure = sweep_figure(data)
    frames = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    trees = pooled(data).query("method == 'fixed_tree'")
    depths, branches = (sorted(trees[name].unique()) for name in ("depth", "branch"))
    corner = frames[0].get_xy()
    assert len(frames) == 1
    assert (depths[round(corner[0] + 0.5)], branches[round(corner[1] + 0.5)]) == (chosen["depth"], chosen["branch"])
    bold = [row for row in body(sweep_table(data)[1]) if row[1].startswith(r"\textbf")]
    assert [row[1:3] for row in bold] == [
        [rf"\textbf{{{chosen['branch']}}}", rf"\textbf{{{chosen['prune_probability']:g}}}"],
        [r"\textbf{--}"] * 2,
    ]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("datasets", [1, 2])
def test_tables_hold_every_row_once(name, grid, datasets):
    data = experiment_frame(name, grid, datasets)
    frame, latex = TABLES[name](data)
    rows = body(latex)
    assert list(frame["case"]) == list(data["case"])
    assert "nan" not in latex.lower() and "<NA>" not in latex
    assert len({len(row) for row in rows}) == 1
    if name == "sweep":
        settings = pooled(data)
        trees, chains = (settings[settings["method"] == method] for method in ("fixed_tree", "chain"))
        assert len(rows) == trees.groupby(["depth", "branch"]).ngroups + len(chains) < 40
    else:
        assert len(rows) == len(data)


def test_pooling_takes_the_geometric_mean_of_speedups_and_the_mean_of_the_rest():
    data = experiment_frame("sweep")
    both = data[data["case"] == "chain-2"]
    row = pooled(data).loc["chain-2"]
    assert row["speedup"] == pytest.approx(both["speedup"].product() ** (1 / len(both)))
    assert row["tokens_per_round"] == pytest.approx(both["tokens_per_round"].mean())
    assert "autoregressive" not in pooled(data).index


def test_fastest_threshold_of_every_shape():
    trees = pooled(experiment_frame("sweep")).query("method == 'fixed_tree'")
    for case, row in fastest(trees, ["depth", "branch"]).iterrows():
        same = trees[(trees["depth"] == row["depth"]) & (trees["branch"] == row["branch"])]
        assert same["speedup"].idxmax() == case


def test_sweep_table_of_one_data_set_has_no_pooled_column():
    one, two = (sweep_table(experiment_frame("sweep", datasets=n))[1] for n in (1, 2))
    assert "Both" not in one and "Both" in two


def test_ablation_table_tells_depths_and_lists_equal_depth_last():
    rows = body(ablation_table(experiment_frame("ablation", "paper", 1))[1])
    assert [row[:2] for row in rows] == [
        ["Autoregressive", "--"],
        ["Fixed tree", "6"],
        ["+ breadth", "6"],
        ["+ depth", "5--8"],
        ["+ history", "5--8"],
        ["Fixed tree, equal depth", "8"],
        ["+ breadth, equal depth", "8"],
    ]


def test_pruning_table_names_depth_once_and_every_threshold():
    rows = body(pruning_table(experiment_frame("pruning", "ci"))[1])
    assert [row[:2] for row in rows] == [
        ["Autoregressive", "--"],
        ["2", "not"],
        ["", "0.02"],
        ["3", "not"],
        ["", "0.02"],
    ]


def test_sensitivity_table_explains_combined_settings():
    frame, latex = sensitivity_table(experiment_frame("sensitivity", "paper", 1))
    rows = {row[1]: row for row in body(latex)}
    assert r"high throughput {\scriptsize (0.85/0.5, 1--3, 6--9)}" in rows
    assert rows["0.6/0.2"][0] == "Thresholds"
    assert rows["1--2"][0] == "Branches"
    assert [row[0] for row in body(latex)[:2]] == ["Autoregressive", "Fixed tree"]
    assert "5,8" in frame.to_csv(index=False)  # whole numbers stay whole
