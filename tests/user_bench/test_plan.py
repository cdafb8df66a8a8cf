"""The plan of a benchmark."""

import pytest

from dynatree import DynatreeError
from dynatree.user_bench.plan import CANDIDATES, NO_DRAFT, Plan, arms, code_of


def test_each_draft_has_an_arm_with_a_baseline_of_its_own():
    found = arms(Plan("t", ["a/draft", "other"]))
    assert [arm.name for arm in found] == [NO_DRAFT, "draft", "other"]
    assert all(next(iter(arm.cases)) == "autoregressive" for arm in found)
    assert list(found[0].cases) == ["autoregressive", "cost_aware", "hf_generate", "hf_prompt_lookup"]
    assert list(found[1].cases) == ["autoregressive", "cost_aware", "dynatree", "chain", "hf_assisted"]


def test_assisted_generation_takes_no_draft_that_reads_states(tmp_path):
    (tmp_path / "config.json").write_text('{"dynatree": {"hidden_states": true}}')
    assert list(arms(Plan("t", [str(tmp_path)]))[1].cases) == ["autoregressive", "cost_aware", "dynatree", "chain"]


def test_drafts_of_one_name_keep_their_folders():
    assert [arm.name for arm in arms(Plan("t", ["a/draft", "b/draft"], ["chain"]))] == ["a/draft", "b/draft"]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan("t", [], ["magic"]), "unknown method 'magic'"),
        (Plan("t", [], ["chain", "cost_aware"]), "method chain needs a draft"),
        (Plan("t", [], ["autoregressive"]), "no method is left"),
    ],
)
def test_a_plan_that_cannot_be_measured_is_refused(plan, message):
    with pytest.raises(DynatreeError, match=message):
        arms(plan)


def test_the_line_of_python_names_the_models_and_the_options():
    assert code_of("chain", "T", "D") == "generate(load_pair('T', 'D'), prompt, method=\"chain\", length=4)"
    assert code_of("hf_assisted", "T", "D") == "model.generate(**inputs, assistant_model=draft)"
    assert all(code_of(name, "T", None) for name in CANDIDATES)
