"""Drafts with compressed caches: the table, the figure and their numbers."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from dynatree.analysis.figures.draft_cache import figure as draft_cache_figure
from dynatree.analysis.labels import with_labels
from dynatree.analysis.summary import per_request
from dynatree.analysis.tables.draft_cache import draft_cache_frame
from dynatree.analysis.tables.draft_cache import table as draft_cache_table
from dynatree.config.plan import Plan
from tests.support.synthetic import configuration, measurement

JOB = "draft_cache-narrative"


@pytest.fixture(scope="module")
def requests() -> pd.DataFrame:
    """Requests in which StreamingLLM at the smaller budget takes longer and emits half as much a round."""
    config = configuration()
    found = measurement(JOB, config=config)
    for record in found.records:
        if record.case == "dynatree-streaming_llm-16":
            record.rounds *= 2
            record.draft_rows = 19
            record.seconds["total"] *= 1.25
    return with_labels(per_request(JOB, found), Plan.from_config(config).labels("draft_cache"))


def test_ratios_are_to_the_same_policy_with_a_whole_cache(requests):
    frame = draft_cache_frame(requests)
    assert len(frame) == 2 * (requests["case"].nunique() - 2)
    cases = frame[frame["limit"] == 96].set_index("case")
    one, whole = cases.loc["dynatree-streaming_llm-16"], cases.loc["dynatree"]
    assert one["tokens_ratio"] == pytest.approx(0.5)
    assert one["throughput_ratio"] == pytest.approx(0.8 * 12.5 / 14)  # of the made-up rates
    assert one["speedup"] == pytest.approx(0.8 * 12.5 / 10)
    assert (one["draft_rows"], one["budget"]) == (19, 16)
    assert whole[["tokens_ratio", "throughput_ratio", "budget"]].isna().all()
    other = cases.loc["cost_aware_model-snapkv-32"]
    assert (other["policy"], other["tokens_ratio"]) == ("cost_aware_model", pytest.approx(1))


def test_the_table_has_every_policy_cache_and_budget_of_each_length(requests):
    frame, latex = draft_cache_table(requests)
    assert len(frame) == latex.count("DynaTree") + latex.count("Cost-aware,")
    assert latex.count(" & all & ") == 2 * 2
    assert "Narrative, 48 prompt tokens" in latex and "Narrative, 96 prompt tokens" in latex
    assert "DynaTree, StreamingLLM & 16 & 19 &" in latex
    assert "nan" not in latex


@pytest.mark.filterwarnings("error")
def test_the_figure_has_a_row_for_each_length_and_a_line_for_each_draft(requests):
    figure = draft_cache_figure(requests)
    figure.canvas.draw()
    assert [axes.get_title(loc="left") for axes in figure.axes[::2]] == [
        "Narrative, 48 prompt tokens",
        "Narrative, 96 prompt tokens",
    ]
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    compressed = requests[requests["budget"].notna()]
    assert names == set(compressed["label"])
    plt.close(figure)
