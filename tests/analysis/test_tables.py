"""Tables: every row once, nothing undefined, nothing unescaped."""

import math

import pandas as pd
import pytest

from dynatree import DynatreeError
from dynatree.analysis.statistics import compare
from dynatree.analysis.tables.booktabs import booktabs, cell, number, p_value
from dynatree.analysis.tables.comparisons import table as comparisons_table
from dynatree.analysis.tables.dtypes import table as dtypes_table
from dynatree.analysis.tables.efficiency import table as efficiency_table
from dynatree.analysis.tables.latency import split_tpot
from dynatree.analysis.tables.latency import table as latency_table
from dynatree.analysis.tables.length import table as length_table
from dynatree.analysis.tables.main import table as main_table
from dynatree.analysis.tables.memory import table as memory_table
from dynatree.analysis.tables.prompt_length import table as prompt_length_table
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
    "main": (main_table, main_frame),
    "latency": (latency_table, main_frame),
    "efficiency": (efficiency_table, main_frame),
    "memory": (memory_table, memory_frame),
}
ALL = PER_CASE | {
    "comparisons": (comparisons_table, request_frame),
    "length": (length_table, length_frame),
    "prompt_length": (prompt_length_table, length_frame),
    "dtypes": (dtypes_table, dtype_frame),
}


def body(latex: str) -> list[list[str]]:
    """The cells of all rows below the header, titles of groups left out."""
    lines = [line for block in latex.split("\\midrule\n")[1:] for line in block.split("\n") if line.endswith(r"\\")]
    return [line.removesuffix(r" \\").split(" & ") for line in lines if not line.startswith(r"\multicolumn")]


def test_booktabs_layout():
    latex = booktabs(["A", "B"], [("One", [["x", "1"]]), (None, [["y", "2"]])], units=["", "ms"])
    assert latex.split("\n") == [
        r"\begin{tabular}{@{}lr@{}}",
        r"\toprule",
        r"A & B \\",
        r" & \small ms \\",
        r"\midrule",
        r"\multicolumn{2}{@{}l}{\textit{One}} \\",
        r"x & 1 \\",
        r"\midrule",
        r"y & 2 \\",
        r"\bottomrule",
        r"\end{tabular}",
        "",
    ]
    with pytest.raises(ValueError, match="1 cells in a table of 2 columns"):
        booktabs(["A", "B"], [(None, [["x"]])])


def test_numbers():
    assert (number(1.25, 1), number(math.nan, 1), number(8, 0)) == ("1.2", "--", "8")
    assert (p_value(0.0004), p_value(0.0214), p_value(math.nan)) == ("$<$0.001", "0.021", "--")
    assert (number(-0.001, 2), cell({"z": -0.25}, "z", 1)) == ("0.00", "$-$0.2")
    row = {"x": 1.5, "x_low": 1, "x_high": 2.04, "y": math.nan, "y_low": math.nan, "y_high": math.nan}
    assert cell(row, "x", 1) == "1.5"
    assert cell(row, "x", 1, bounded=True) == r"1.5 {\scriptsize [1.0, 2.0]}"
    assert cell(row, "y", 1, bounded=True) == "--"


@pytest.mark.parametrize("name", PER_CASE)
@pytest.mark.parametrize("datasets", [tuple(DATASETS), ("narrative",)])
@pytest.mark.parametrize("cases", [tuple(LABELS), ("autoregressive", "dynatree")])
def test_every_case_stands_once_per_data_set(name, datasets, cases):
    make, build = PER_CASE[name]
    frame, latex = make(build(datasets=datasets, cases=cases))
    assert list(frame["case"]) == list(cases) * len(datasets)
    assert [row[0] for row in body(latex)] == [LABELS[case] for case in cases] * len(datasets)
    assert [latex.count(rf"\textit{{{label}}}") for label in DATASETS.values()] == [
        int(dataset in datasets) for dataset in DATASETS
    ]


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_undefined_or_unescaped(name):
    make, build = ALL[name]
    data = build()
    data.loc[data["case"] == "dynatree", "label"] = "A&B_c 100% $x$"
    data["dataset_label"] = data["dataset_label"] + " #1"
    _, latex = make(data)
    assert "nan" not in latex and "inf" not in latex
    assert r"A\&B\_c 100\% \$x\$" in latex
    assert r"\textit{Narrative \#1}" in latex
    assert len({len(row) for row in body(latex)}) == 1


def test_values_that_do_not_apply_are_dashes():
    rows = {row[0]: row for row in body(main_table(main_frame(datasets=("narrative",)))[1])}
    assert rows["Autoregressive"][4:6] == ["--", "--"]
    assert rows["HF assisted"][7] == "--"
    assert rows["DynaTree"].count("--") == 0
    rows = {row[0]: row for row in body(latency_table(main_frame(datasets=("narrative",)))[1])}
    assert rows["HF generate"][3:] == ["--"] * 3
    assert rows["Autoregressive"][3] == "0.00"


def test_parts_of_the_time_per_token_add_up():
    frame = split_tpot(main_frame())
    whole = sum(frame[f"{part}_ms_per_token"] for part in ("draft", "verify", "other"))
    ours = frame["engine"] == "dynatree"
    assert whole[ours].to_list() == pytest.approx(frame.loc[ours, "tpot_ms"].to_list())
    assert whole[~ours].isna().all()


def test_comparisons_are_those_of_the_paired_prompts():
    requests = request_frame()
    frame, latex = comparisons_table(requests)
    others = [case for case in LABELS if case != "dynatree"]
    assert list(frame["case"]) == others * 2
    assert [row[0] for row in body(latex)] == [LABELS[case] for case in others] * 2
    assert latex.startswith("\\begin{tabular}{@{}lrrrrrr@{}}\n\\toprule\nDynaTree over &")
    narrative = requests[requests["dataset"] == "narrative"]
    row = frame[frame["dataset_label"] == "Narrative"].set_index("case").loc["chain"]
    found = compare(narrative, "dynatree", "chain", "throughput")
    assert (row["throughput"], row["throughput_low"]) == pytest.approx((round(found.ratio, 2), round(found.low, 2)))
    assert found.p <= row["p"] <= 1
    assert row["pairs"] == PROMPTS


def test_comparisons_need_dynatree():
    with pytest.raises(DynatreeError, match="'narrative' has no requests of the case 'dynatree'; add it"):
        comparisons_table(request_frame(cases=("autoregressive", "chain")).query("dataset == 'narrative'"))


@pytest.mark.parametrize("make", [length_table, prompt_length_table])
def test_scaling_has_a_line_per_size_and_columns_per_case(make):
    data = length_frame()
    missing = (data["case"] == "chain") & (data["limit"] == 100)
    frame, latex = make(data[~missing])
    rows = body(latex)
    assert [row[0] for row in rows] == [str(size) for size in (100, 200, 300, 500, 750, 1000, 1500)] * 2
    assert {len(row) for row in rows} == {3 + 2 * (len(TUNED) - 1)}
    assert "--" in rows[0] and "--" not in rows[1]
    assert len(frame) == len(data) - 2


def test_new_tokens_are_those_asked_for():
    data = length_frame(sizes=(64, 128)).assign(new_tokens=50)
    assert [row[0] for row in body(length_table(data)[1])] == ["64", "128"] * 2


def test_dtypes_show_identical_outputs_and_margins():
    frame, latex = dtypes_table(dtype_frame())
    rows = body(latex)
    assert len(frame) == len(rows) == 2 * 4 * len(TUNED)
    assert [row[0] for row in rows if row[0]] == ["float32", "float16", "bfloat16", "int8"] * 2
    assert rows[0][5:] == [f"{PROMPTS}/{PROMPTS}", "--"]
    assert rows[4][5:] == [f"{PROMPTS - 2}/{PROMPTS}", "0.031"]


def test_data_of_the_main_table_is_rounded_but_for_p_values():
    data = main_frame()
    frame, _ = main_table(data)
    pd.testing.assert_series_equal(frame["speedup_p"], data["speedup_p"])
    assert frame["speedup"].to_list() == data["speedup"].round(2).to_list()
    assert {"ttft_ms", "tpot_ms", "throughput_low", "speedup_high"} <= set(frame.columns)
