"""From records to summaries, the facts and the choice of settings."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dynatree import DynatreeError
from dynatree.analysis.memory_summary import summarize_memory
from dynatree.analysis.selection import with_speedup
from dynatree.analysis.statistics import paired_ratios
from dynatree.analysis.summary import LARGEST_MARGIN, per_request, read_all, run_facts, summarize
from dynatree.analysis.tune import choose
from dynatree.benchmark.records import Measurement, write_records
from tests.support.synthetic import RATES, SESSION, measurement

LATER = "2026-01-02T00:00:00+00:00-123456"


@pytest.fixture
def files(tmp_path) -> list[Path]:
    paths = []
    for name in ("main-encyclopaedic", "main-narrative"):
        paths.append(tmp_path / f"{name}.json")
        write_records(paths[-1], measurement(name))
    return paths


def summary_of(name: str, **options) -> pd.DataFrame:
    return summary_from(measurement(name, **options))


def summary_from(found: Measurement) -> pd.DataFrame:
    return summarize(found.job, per_request("x", found))


def test_summary_gives_the_known_numbers():
    rows = summary_of("main-narrative").set_index("case")
    assert set(rows.index) <= {*RATES, "dynatree_published"}
    for case in rows.index.intersection(list(RATES)):
        row, rate = rows.loc[case], RATES[case]
        assert row["speedup"] == pytest.approx(rate / 10)
        assert row["speedup_low"] == pytest.approx(rate / 10) == row["speedup_high"]
        assert row["throughput"] == pytest.approx(rate * 1.15)
        assert row["throughput_low"] < row["throughput"] < row["throughput_high"]
        assert row["tokens_per_round"] == pytest.approx(sum(23 / r for r in (12, 13, 14, 15)) / 4)
        assert row["identical"] == row["prompts"] == row["articles"] == 4
        assert math.isnan(row["speedup_p"]) == (case == "autoregressive")
    ours = rows.loc["dynatree"]
    assert (ours["acceptance_rate"], ours["draft_precision"], ours["overhead_share"]) == pytest.approx(
        (0.4, 8 / 30, 0.05)
    )
    assert ours["verify_ms"] + ours["other_ms"] == pytest.approx(ours["ttft_ms"] + 23 * ours["tpot_ms"], rel=0.01)
    assert math.isnan(rows.loc["hf_assisted", "acceptance_rate"])
    assert json.loads(rows.loc["chain", "options"]) == {"length": 2}


def test_every_group_has_its_own_baseline_and_keeps_its_factors():
    found = measurement("prompt_length-encyclopaedic")
    for record in found.records:
        if record.group == "96":
            record.seconds["total"] *= 3  # a slower machine for this group only
    rows = summary_from(found)
    dynatree = rows[rows["case"] == "dynatree"]
    assert dynatree["limit"].tolist() == [24, 96]
    assert dynatree["speedup"].tolist() == pytest.approx([1.4, 1.4])
    assert dynatree["throughput"].iloc[0] == pytest.approx(3 * dynatree["throughput"].iloc[1])


def test_grids_keep_their_factors():
    sweep = summary_of("sweep-narrative")
    trees = sweep[sweep["method"] == "fixed_tree"]
    assert len(trees) == 8
    assert set(trees["depth"]) == {2, 3}
    assert sweep[sweep["case"] == "autoregressive"]["depth"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda session: session.update(code="other"), "different code"),
        (lambda session: session["environment"].update(machine="other"), "different machines"),
        (lambda session: session["models"]["draft"].update(sha256="other"), "different models"),
        (lambda session: session["job"].update(dtype="float16"), "different number formats"),
    ],
)
def test_what_does_not_belong_together_is_refused(files, change, message):
    found = measurement()
    change(found.sessions[SESSION])
    write_records(files[1], found)
    with pytest.raises(DynatreeError, match=message):
        read_all(files)


def test_number_formats_may_be_mixed_where_they_are_compared(files):
    write_records(files[1], measurement("dtypes-encyclopaedic-bfloat16"))
    assert len(read_all(files, mixed_formats=True)) == 2


def test_a_failed_comparison_is_refused(files):
    found = measurement()
    found.records[5].divergence = 7
    write_records(files[1], found)
    with pytest.raises(DynatreeError, match=f"{found.records[5].case} differs from the baseline on prompt 'p0'"):
        read_all(files)


def test_in_half_precision_a_difference_is_accepted_and_a_wrong_token_is_not(tmp_path):
    path = tmp_path / "r.json"
    found = measurement("dtypes-encyclopaedic-bfloat16")
    found.records[3].divergence = 7
    write_records(path, found)
    rows = summary_from(*read_all([path]))
    assert rows["identical"].sum() == rows["prompts"].sum() - 1
    assert rows["margin"].max() == 0.03
    found.records[3].margin = LARGEST_MARGIN + 0.5
    write_records(path, found)
    with pytest.raises(DynatreeError, match=r"whose logit is 1.50 below the target's best"):
        read_all([path])


def test_repetitions_count_once_by_their_median():
    found = measurement(prompts=2)
    found.job = replace(found.job, repetitions=3, sessions=1)
    found.records = [record for record in found.records if record.repetition == 0]
    for record in [record for record in found.records if record.case == "dynatree"]:
        outlier = record.seconds | {"total": 100 * record.seconds["total"]}
        found.records += [replace(record, repetition=1, seconds=outlier), replace(record, repetition=2)]
    rows = summary_from(found).set_index("case")
    assert rows.loc["dynatree", "speedup"] == pytest.approx(1.4)


def test_the_order_of_records_does_not_matter():
    found = measurement()
    backwards = replace(found, records=found.records[::-1])
    pd.testing.assert_frame_equal(summary_from(found), summary_from(backwards))


def test_a_case_measured_again_on_a_slower_machine_keeps_its_ratios():
    """The second session is half as fast; its baselines say so."""
    found = measurement()
    again = [replace(record, session=LATER, baseline=LATER) for record in found.records]
    for record in again:
        record.seconds = {part: 2 * seconds for part, seconds in record.seconds.items()}
    kept = [r for r in found.records if r.case != "dynatree"]
    repeated = [r for r in again if r.case in ("autoregressive", "dynatree")]
    both = replace(found, records=kept + repeated, sessions=found.sessions | {LATER: found.sessions[SESSION]})
    pd.testing.assert_series_equal(summary_from(both)["speedup"], summary_from(found)["speedup"])
    before, after = (per_request("x", measured) for measured in (found, both))
    for quantity in ("throughput", "ttft_ms", "tokens_per_round"):
        ratios = [paired_ratios(rows, "dynatree", "fixed_tree", quantity) for rows in (before, after)]
        pd.testing.assert_series_equal(*ratios)
    speedups = [with_speedup(rows).groupby(["case", "prompt"])["speedup"].median() for rows in (before, after)]
    pd.testing.assert_series_equal(*speedups)
    raw = [rows.loc[rows["case"] == "dynatree", "throughput"].mean() for rows in (before, after)]
    assert raw[1] == pytest.approx(raw[0] / 2), "what was measured is reported as it was"


def test_the_fastest_of_each_kind_is_chosen():
    sweep = pd.concat([summary_of(f"sweep-{name}") for name in ("encyclopaedic", "narrative")], ignore_index=True)
    sweep["work_speedup"] = 1.5
    first = choose(sweep)["PG-19"]
    assert first["chain"] == {"length": 1}, "of equally fast ones the smallest"
    assert first["fixed_tree"]["depth"] == first["fixed_tree"]["branch"] == 2
    fast = (sweep["case"] == "tree-3-2-0.2") & (sweep["dataset"] == "narrative")
    sweep.loc[fast, "work_speedup"] *= 1.2
    sweep.loc[~fast, "speedup"] *= 2  # the time of few requests does not count
    assert choose(sweep)["WikiText-2"] == first
    assert choose(sweep)["PG-19"]["fixed_tree"] == {
        "depth": 3,
        "branch": 2,
        "prune_probability": 0.2,
        "node_budget": 12,
    }


def test_facts_cover_the_whole_run(files):
    facts = run_facts(read_all(files))
    assert facts["requests"] == 2 * 4 * len(measurement().job.groups["all"].cases)
    assert (facts["disturbed"], facts["disturbed_kept"], facts["claims_sha256"]) == (0, 0, ["f0" * 32])
    assert [job["again"] for job in facts["quality"]] == pytest.approx(
        [1.25, 1.25]
    )  # the rate of cases without their own
    assert list(facts["datasets"]) == ["encyclopaedic", "narrative"]
    assert facts["environment"]["machine"] == "m"


def test_the_highest_peak_of_memory_counts():
    rows = [
        {"dataset": "d", "case": case, "prompt": prompt, "peak_mib": peak}
        for case, peaks in (("autoregressive", (10, 20)), ("dynatree", (30, 25)))
        for prompt, peak in zip("ab", peaks, strict=True)
    ]
    summary = summarize_memory(pd.DataFrame(rows))
    assert summary["peak_mib"].tolist() == [20, 30]
    assert summary["over_baseline"].tolist() == [1, 1.5]
    assert summary["prompts"].tolist() == [2, 2]
