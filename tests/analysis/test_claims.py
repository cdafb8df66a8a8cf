"""Verdicts that are known by hand, and mistakes in the file of claims."""

import copy
import hashlib
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from dynatree import DynatreeError
from dynatree.analysis.claims import COLUMNS, claims_latex, describe_run, judge
from dynatree.analysis.inference import geometric_mean, interval
from dynatree.analysis.published import Margins, load_claims, load_margins
from tests.support.arena_frames import shapes_frame

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = ROOT / "config/claims.yaml"
CPU = {"device": "cpu", "models": {"target": "Big", "draft": "Small"}, "published_pair": False, "published": False}
GPU = {
    "device": "cuda:0",
    "models": {"target": "Pythia-2.8B", "draft": "Pythia-70M"},
    "published_pair": True,
    "published": True,
}
MARGINS = Margins(times=0.03, counts=0.02, shares=0.02, discovery_rate=0.05)
WOBBLE = np.array([0.98, 1.03, 1.0, 0.97, 1.04, 0.99, 1.02, 0.97])  # of the paired ratio; geometric mean 1 within 0.1 %
SPREAD = np.array([0.7, 1.4, 0.8, 1.3, 0.9, 1.2, 0.75, 1.25])


def requests_of(
    speeds: dict, prompts: int = 8, job: str = "main-encyclopaedic", group: object = "all", wobble=WOBBLE, **columns
):
    """Requests whose cases have ``speeds`` times the baseline's speed, with a wobble from prompt to prompt."""
    rows = []
    for case, speed in {"autoregressive": 1.0, **speeds}.items():
        for prompt in range(prompts):
            ratio = speed * (1.0 if case == "autoregressive" else wobble[prompt])
            rows.append(
                {
                    "job": job,
                    "baseline": f"session of {job}",
                    "stands_for": "WikiText-2",
                    "dataset": "encyclopaedic",
                    "group": group,
                    "case": case,
                    "method": case,
                    "engine": "huggingface" if case.startswith("hf") else "dynatree",
                    "dtype": "float32",
                    "prompt": f"p{prompt}",
                    "article": f"p{prompt}",
                    "sitting": 0,
                    "new_tokens": 64,
                    "throughput": 10 * (1 + prompt / 10) * ratio,
                    "work_throughput": 10 * (1 + prompt / 10) * speed,
                    "work_tpot_ms": 100 / speed,
                    "rounds": round(64 / speed),
                    "tokens_per_round": speed,
                    "acceptance_rate": 0.5 * ratio,
                    "published_acceptance": 0.6 * ratio,
                    "draft_precision": 0.2,
                    "ttft_ms": 200.0,
                    "tpot_ms": 100 / ratio,
                    "identical": True,
                    "margin": math.nan,
                    **columns,
                }
            )
    return pd.DataFrame(rows)


def claim(predicate: dict, requires: dict | None = None, **changes) -> dict:
    made = {"id": "x", "text": "It is so.", "source": "a table", "published": {"value": 1.1, "what": "a ratio"}}
    made |= {"predicate": predicate} | ({"requires": requires} if requires else {})
    return made | changes


def ratio(**changes) -> dict:
    predicate = {"kind": "ratio", "experiment": "main", "quantity": "throughput", "of": "dynatree"}
    return predicate | {"over": "fixed_tree", "dataset": "WikiText-2", "above": 1} | changes


def verdict(predicate: dict, frame: pd.DataFrame, experiment: str = "main", requires=None, run=CPU) -> pd.Series:
    return judge([claim(predicate, requires)], {experiment: frame}, {}, run, MARGINS).iloc[0]


@pytest.mark.parametrize(
    ("speeds", "run", "expected"),
    [
        ({"fixed_tree": 1.0, "dynatree": 1.2}, CPU, "holds here"),
        ({"fixed_tree": 1.2, "dynatree": 1.0}, CPU, "fails here"),
        ({"fixed_tree": 1.0, "dynatree": 1.2}, GPU, "confirmed"),
        ({"fixed_tree": 1.2, "dynatree": 1.0}, GPU, "refuted"),
    ],
)
def test_a_clear_ratio(speeds, run, expected):
    row = verdict(ratio(), requests_of(speeds), run=run)
    assert (row["verdict"], row["published"]) == (expected, 1.1)
    expected_ratio = speeds["dynatree"] / speeds["fixed_tree"]
    assert row[["value", "low", "high", "work"]].to_list() == pytest.approx([expected_ratio] * 4)
    assert row["p"] == row["q"] == 2 / 2**8
    assert "over 8 articles; the claim is above 1." in row["reason"]


def test_an_interval_that_includes_the_limit_decides_nothing():
    row = verdict(ratio(over="autoregressive"), requests_of({"dynatree": 1.06}, wobble=SPREAD))
    assert row["verdict"] == "too few data" and "does not separate it" in row["reason"]
    assert row[["value", "low", "high"]].to_list() == pytest.approx(interval(1.06 * SPREAD, geometric_mean))


def test_equal_work_and_noisy_times_are_equivalent():
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.01}, wobble=SPREAD)
    frame.loc[frame["case"] == "fixed_tree", "throughput"] *= 0.9 * np.roll(SPREAD, 3)
    row = verdict(ratio(), frame)
    assert row["verdict"] == "equivalent within the margin" and row["high"] / row["low"] > 1.5
    assert row[["work", "work_low", "work_high"]].to_list() == pytest.approx([1.01] * 3)
    assert "The ratio of work is 1.01 [1.01, 1.01] at 90 %. It is equivalent to the limit within 0.03" in row["reason"]


@pytest.mark.parametrize(("work", "expected"), [(1.02, "equivalent within the margin"), (1.04, "too few data")])
def test_unequal_work_is_not_equivalent(work, expected):
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.0})
    frame.loc[frame["case"] == "dynatree", "work_throughput"] *= work
    assert verdict(ratio(), frame)["verdict"] == expected


def test_work_that_varies_by_prompt_is_not_equivalent():
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.0}, wobble=np.ones(8))
    frame.loc[frame["case"] == "dynatree", "work_throughput"] *= SPREAD
    row = verdict(ratio(), frame)
    assert row["verdict"] == "too few data" and row["work_high"] > 1.03
    assert row[["work_low", "work_high"]].to_list() == pytest.approx(interval(SPREAD, geometric_mean, 0.9)[1:])


@pytest.mark.parametrize(("time", "expected"), [(1.1, "too few data"), (0.9, "too few data"), (1.04, "equivalent")])
def test_times_that_contradict_the_work_decide_nothing(time, expected):
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.0})
    frame.loc[frame["case"] == "dynatree", "throughput"] *= time * WOBBLE
    row = verdict(ratio(), frame)
    assert row["p"] == 2 / 2**8 and row["verdict"].startswith(expected)
    assert ("but the times contradict" in row["reason"]) == (expected == "too few data")


def test_times_within_the_noise_of_the_run_do_not_contradict_the_work():
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.0, "autoregressive_again": 1.0})
    frame.loc[frame["case"] == "dynatree", "throughput"] *= 1.1
    frame.loc[frame["case"] == "autoregressive_again", "throughput"] *= np.tile([0.85, 1.15], 4)
    row = verdict(ratio(), frame)
    assert row["verdict"] == "equivalent within the margin"
    assert (row["margin"], row["spread"]) == (0.03, pytest.approx(0.124, abs=1e-3))


def test_without_recorded_forward_passes_the_times_decide_on_equivalence():
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.01}, wobble=np.ones(8)).drop(columns="work_throughput")
    row = verdict(ratio(), frame.assign(work_throughput=math.nan))
    assert row["verdict"] == "equivalent within the margin" and "within 0.03" in row["reason"]
    noisy = requests_of({"dynatree": 1.0}).assign(work_throughput=math.nan)
    noisy = pd.concat([noisy, requests_of({"fixed_tree": 1.0}, wobble=SPREAD).assign(work_throughput=math.nan)])
    assert verdict(ratio(), noisy)["verdict"] == "too few data"


def test_every_setting_must_be_equivalent():
    predicate = ratio(kind="every", experiment="length")
    frames = [requests_of({"fixed_tree": 1.0, "dynatree": speed}, group=speed, job="l") for speed in (1.01, 1.02, 1.04)]
    for count, expected in ((2, "equivalent within the margin"), (3, "too few data")):
        assert verdict(predicate, pd.concat(frames[:count], ignore_index=True), "length")["verdict"] == expected


def test_a_verdict_on_time_needs_the_same_sign_of_work():
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.2})
    frame.loc[frame["case"] == "dynatree", "work_throughput"] *= 0.8
    row = verdict(ratio(), frame)
    assert (
        row["verdict"] == "too few data" and "the ratio of work, 0.96, does not lie on the same side" in row["reason"]
    )
    unknown = verdict(ratio(), frame.assign(work_throughput=math.nan))
    assert unknown["verdict"] == "too few data" and "are not recorded" in unknown["reason"]


def test_a_difference_must_exceed_the_spread_of_the_same_program_in_the_run():
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.2})
    noise = requests_of({"autoregressive_again": 1.0}, job="length-a", wobble=np.ones(8))
    assert judge([claim(ratio())], {"main": frame, "length": noise}, {}, CPU, MARGINS)["verdict"][0] == "holds here"
    noise.loc[noise["case"] == "autoregressive_again", "throughput"] *= np.tile([0.6, 1.6], 4)
    row = judge([claim(ratio())], {"main": frame, "length": noise}, {}, CPU, MARGINS).iloc[0]
    assert row["spread"] > 0.2 and row["verdict"] == "too few data"
    assert "it does not exceed 49 %, the larger of the margin and the spread of the A/A pairs" in row["reason"]


@pytest.mark.parametrize(
    ("quantity", "path", "vacuous"), [("throughput", 1, True), ("throughput", 2, False), ("rounds", 2, True)]
)
def test_an_opponent_of_size_one_decides_nothing(quantity, path, vacuous):
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.2})
    frame["max_path"] = frame["case"].map({"autoregressive": 0, "fixed_tree": path, "dynatree": 8})
    row = verdict(ratio(quantity=quantity), frame)
    assert (row["verdict"] == "not testable here" and "vacuous" in row["reason"]) == vacuous


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({"above": 1.2}, "holds here"),
        ({"at_least": 1.6}, "fails here"),
        ({"at_most": 1.6}, "holds here"),
        ({"below": 1.2}, "fails here"),
        ({"between": [1.4, 1.6]}, "holds here"),
        ({"between": [1.6, 1.7]}, "fails here"),
        ({"above": 1.5}, "equivalent within the margin"),
    ],
)
def test_limits(limit, expected):
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.5}, wobble=np.ones(8))
    predicate = {
        key: value
        for key, value in ratio(quantity="acceptance_rate", **limit).items()
        if key != "above" or key in limit
    }
    assert verdict(predicate, frame)["verdict"] == expected


def test_the_ledger_controls_false_discoveries_over_what_counts():
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.1}, prompts=6)
    one = claim(ratio())
    alone = judge([one], {"main": frame}, {}, CPU, MARGINS)
    assert alone["q"].iloc[0] == alone["p"].iloc[0] == 2 / 2**6
    noise = requests_of({"fixed_tree": 1.0, "dynatree": 1.0}, prompts=6, wobble=SPREAD)
    doubtful = [claim(ratio(experiment="length"), id=f"y{n}") for n in range(3)]
    family = judge([one, *doubtful], {"main": frame, "length": noise}, {}, CPU, MARGINS)
    assert family["q"].iloc[0] == pytest.approx(4 * 2 / 2**6) and family["verdict"].iloc[0] == "too few data"
    foreign = judge(
        [one, *(each | {"standing": "foreign"} for each in doubtful)],
        {"main": frame, "length": noise},
        {},
        CPU,
        MARGINS,
    )
    assert foreign["verdict"].iloc[0] == "holds here" and foreign["q"].iloc[1:].isna().all()


def test_a_duplicate_is_tested_like_the_claim_that_it_repeats():
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.1}, prompts=6)
    noise = requests_of({"fixed_tree": 1.0, "dynatree": 1.0}, prompts=6, wobble=SPREAD)
    claims = [claim(ratio(experiment="length"), id=f"y{n}") for n in range(3)]
    claims += [claim(ratio()), claim(ratio(), id="same", standing="duplicate")]
    found = judge(claims, {"main": frame, "length": noise}, {}, CPU, MARGINS).set_index("id")
    assert found.loc["x", "q"] == pytest.approx(4 * 2 / 2**6), "a duplicate changes no test of a counted claim"
    assert found.loc["same", "q"] == pytest.approx(5 / 2 * 2 / 2**6)
    assert found.loc[["x", "same"], "verdict"].to_list() == ["too few data"] * 2


def test_prompts_of_an_article_count_once():
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.2})
    frame["article"] = np.where(frame["prompt"] < "p4", "first", "second")
    row = verdict(ratio(), frame)
    assert row["n"] == 2 and row["verdict"] == "too few data" and math.isnan(row["low"])


def test_row_order_and_repetitions_change_nothing():
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.02}, wobble=SPREAD)
    outliers = frame[frame["case"] == "dynatree"].assign(throughput=1e-3)
    repeated = pd.concat([frame, frame, outliers])
    predicates = [ratio(), ratio(over="autoregressive"), ratio(quantity="acceptance_rate", kind="difference", above=0)]
    for predicate in predicates:
        expected = verdict(predicate, frame)
        for seed in range(3):
            pd.testing.assert_series_equal(verdict(predicate, frame.sample(frac=1, random_state=seed)), expected)
        pd.testing.assert_series_equal(verdict(predicate, repeated), expected)


def test_prompts_are_paired():
    """A prompt that only one of the two has done does not count."""
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.2})
    lost = frame[~((frame["case"] == "dynatree") & (frame["prompt"] == "p0"))]
    assert "over 7 articles" in verdict(ratio(), lost)["reason"]


def test_few_prompts_decide_nothing():
    row = verdict(ratio(), requests_of({"fixed_tree": 1.0, "dynatree": 2.0}, prompts=3))
    assert row["verdict"] == "too few data"
    assert row["value"] == pytest.approx(2) and math.isnan(row["low"])
    assert "at least 6 articles" in row["reason"]


def test_what_was_not_measured_is_said():
    frame = requests_of({"dynatree": 1.2})
    cases = {
        "no prompts that stand for PG-19": (ratio(over="autoregressive", dataset="PG-19"), frame),
        "has not measured fixed_tree": (ratio(), frame),
        "does not include the experiment length": (ratio(experiment="length"), frame),
        "no draft_precision": (
            ratio(quantity="draft_precision"),
            frame.assign(draft_precision=math.nan, case="dynatree"),
        ),
    }
    for words, (predicate, rows) in cases.items():
        if words.startswith("no draft"):
            rows = pd.concat([rows, rows.assign(case="fixed_tree")], ignore_index=True)
        row = verdict(predicate, rows)
        assert row["verdict"] == "not testable here" and math.isnan(row["value"])
        assert words in row["reason"]


def test_a_size_needs_the_published_pair_on_a_gpu():
    predicate = {"kind": "value", "experiment": "main", "quantity": "speedup", "of": "dynatree", "at_least": 1.64}
    requires = {"device": "cuda", "models": "published", "new_tokens": 64}
    frame = requests_of({"dynatree": 1.9}, wobble=np.ones(8))
    row = verdict(predicate, frame, requires=requires)
    assert row["verdict"] == "not testable here" and row["value"] == pytest.approx(1.9)
    assert row["reason"].startswith("Only a run on a CUDA GPU, with the published pair of models can judge this")
    assert "Big and Small on cpu" in row["reason"] and "is 1.9." in row["reason"]
    assert verdict(predicate, frame, requires=requires, run=GPU)["verdict"] == "confirmed"
    slow = requests_of({"dynatree": 1.5}, wobble=np.ones(8))
    assert verdict(predicate, slow, requires=requires, run=GPU)["verdict"] == "refuted"
    short = verdict(predicate, frame, requires=requires | {"new_tokens": 1500}, run=GPU)
    assert short["verdict"] == "not testable here" and "with 1500 new tokens a request" in short["reason"]


def test_difference_of_shares():
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.2}, wobble=np.ones(8))
    row = verdict(ratio(kind="difference", quantity="acceptance_rate", above=0), frame)
    assert (row["verdict"], row["value"]) == ("holds here", pytest.approx(0.1))


def lengths(short: float, long: float) -> pd.DataFrame:
    return pd.concat(
        [
            requests_of({"dynatree": short, "fixed_tree": 1.1}, job="length-a", group=32),
            requests_of({"dynatree": long, "fixed_tree": 1.1}, job="length-a", group=128),
        ],
        ignore_index=True,
    )


def test_growth_compares_the_longest_with_the_shortest():
    predicate = ratio(experiment="length", quantity="speedup", across="groups")
    predicate |= {"of": {"case": "dynatree", "group": "largest"}, "over": {"case": "dynatree", "group": "smallest"}}
    row = verdict(predicate, lengths(1.2, 1.5), "length")
    assert (row["verdict"], row["value"]) == ("holds here", pytest.approx(1.25))
    one = verdict(predicate, requests_of({"dynatree": 1.2}, group=32), "length")
    assert one["verdict"] == "not testable here" and "only one of the two" in one["reason"]


def test_every_setting_must_hold_and_the_weakest_is_shown():
    predicate = ratio(kind="every", experiment="length")
    good = verdict(predicate, lengths(1.2, 1.5), "length")
    assert (good["verdict"], good["value"]) == ("holds here", pytest.approx(1.2 / 1.1))
    assert "dynatree at 32" in good["reason"] and "2 of 2 settings lies on the claimed side" in good["reason"]
    bad = verdict(predicate, lengths(1.0, 1.5), "length")
    assert (bad["verdict"], bad["value"]) == ("fails here", pytest.approx(1.0 / 1.1))
    assert "The value of 1 of 2 settings" in bad["reason"] and bad["p"] == 2 * 2 / 2**8


def test_every_matches_cases_by_their_factors():
    trees = {"d4-t0.0": (4, 0.0, 0.5), "d4-t0.05": (4, 0.05, 1.2), "d8-t0.0": (8, 0.0, 0.3), "d8-t0.05": (8, 0.05, 0.9)}
    frame = requests_of({case: speed for case, (_, _, speed) in trees.items()}, wobble=np.ones(8))
    frame["depth"] = frame["case"].map({case: depth for case, (depth, _, _) in trees.items()})
    frame["threshold"] = frame["case"].map({case: threshold for case, (_, threshold, _) in trees.items()})
    predicate = ratio(kind="every", experiment="pruning", of={"threshold": {"above": 0}}, over={"threshold": 0})
    row = verdict(predicate | {"match": ["depth"]}, frame, "pruning")
    assert (row["verdict"], row["value"]) == ("holds here", pytest.approx(1.2 / 0.5))


@pytest.mark.parametrize(("claimed", "expected", "value"), [(9, "holds here", 1.2), (5, "fails here", 1.0 / 1.2)])
def test_best_setting(claimed, expected, value):
    frame = requests_of({"tree-5": 1.0, "tree-9": 1.2, "tree-7": 0.9}, wobble=np.ones(8))
    frame["depth"] = frame["case"].map({"tree-5": 5, "tree-9": 9, "tree-7": 7})
    frame["method"] = frame["case"].where(frame["case"] == "autoregressive", "fixed_tree")
    predicate = {"kind": "best", "experiment": "sweep", "quantity": "throughput"}
    predicate |= {"among": {"method": "fixed_tree"}, "is": {"depth": claimed}}
    row = verdict(predicate, frame, "sweep")
    assert (row["verdict"], row["value"]) == (expected, pytest.approx(value))
    absent = verdict(predicate | {"is": {"depth": 12}}, frame, "sweep")
    assert absent["verdict"] == "not testable here" and "depth 12" in absent["reason"]


def test_exactness():
    predicate = {"kind": "all", "experiment": "all", "quantity": "identical", "of": {"engine": "dynatree"}, "tie": 1.0}
    frame = requests_of({"dynatree": 1.2, "hf_assisted": 1.0})
    frame.loc[frame["case"] == "hf_assisted", "identical"] = False  # not ours to answer for
    row = judge([claim(predicate)], {"main": frame, "length": lengths(1, 2)}, {}, CPU, MARGINS).iloc[0]
    assert row["verdict"] == "holds here" and "Of 64 outputs 64 equal" in row["reason"]
    frame.loc[frame.index[8], "identical"] = False
    row = verdict(predicate | {"experiment": "main"}, frame)
    assert row["verdict"] == "fails here" and "Of 16 outputs 15 equal" in row["reason"]
    for margin, expected in ((0.1, "equivalent within the margin"), (1.5, "fails here"), (math.nan, "fails here")):
        row = verdict(predicate | {"experiment": "main"}, frame.assign(dtype="bfloat16", margin=margin))
        assert (row["verdict"], row["value"]) == (expected, 15 / 16)


def test_memory():
    predicate = {"kind": "memory", "quantity": "over_baseline", "of": "dynatree", "at_most": 1.035}
    columns = {"case": "dynatree", "new_tokens": 64, "how": "CUDA allocator"}
    memory = pd.DataFrame(
        [
            {"stands_for": name, "over_baseline": over, **columns}
            for name, over in (("WikiText-2", 1.03), ("PG-19", 1.04))
        ]
    )
    row = judge([claim(predicate)], {}, {"memory": memory}, GPU, MARGINS).iloc[0]
    assert (row["verdict"], row["value"], row["low"]) == ("too few data", pytest.approx(1.035), 1.03)
    row = judge([claim(predicate | {"dataset": "WikiText-2"})], {}, {"memory": memory}, GPU, MARGINS).iloc[0]
    assert row["verdict"] == "confirmed" and "CUDA allocator" in row["reason"]


def test_an_ambiguous_choice_names_the_claim():
    frame = requests_of({"dynatree": 1.2, "fixed_tree": 1.0})
    with pytest.raises(DynatreeError, match="claim x: engine dynatree fits several cases"):
        verdict(ratio(of={"engine": "dynatree"}), frame)


def test_the_published_pair_is_known_by_its_name():
    def model(name, **source):
        return {"name": name, "label": name.upper(), "source": source}

    hub = {
        "target": model("a", kind="hub", repository="EleutherAI/pythia-2.8b"),
        "draft": model("pythia-70m", path="x"),
    }
    texts = {"wikitext": {"source": {"kind": "wikitext"}}}
    run = {"device": "cuda", "models": hub, "prompts": texts}
    names = {"target": "A", "draft": "PYTHIA-70M"}
    assert describe_run(run) == {"device": "cuda", "models": names, "published_pair": True, "published": True}
    assert not describe_run(run | {"models": hub | {"draft": hub["target"]}})["published_pair"]
    assert not describe_run(run | {"prompts": {"own": {"source": {"kind": "file"}}}})["published"]


def test_the_claims_of_the_paper():
    claims = load_claims(CLAIMS)
    assert len(claims) >= 18
    ledger = judge(claims, {}, {}, CPU, load_margins(CLAIMS))
    assert list(ledger) == list(COLUMNS) and set(ledger["verdict"]) == {"not testable here"}
    assert ledger["reason"].str.match(r"^(The run does not include .*|Only a run .*)\.$").all()


def test_published_ratios_follow_from_the_published_numbers():
    table = pd.read_csv(ROOT / "results/published/main.csv").set_index(["metric", "dataset", "method"])["value"]
    metrics = {"rounds": "num_iterations", "tokens_per_round": "tokens_per_iteration_Lbar"}
    checked = 0
    for claim in load_claims(CLAIMS):
        predicate = claim["predicate"]
        main = predicate["kind"] == "ratio" and predicate["experiment"] == "main"
        if main and predicate["over"] != "hf_assisted":
            metric = metrics.get(predicate["quantity"], predicate["quantity"])
            of, over = (table[metric, predicate["dataset"], predicate[side]] for side in ("of", "over"))
            assert claim["published"]["value"] == pytest.approx(of / over, abs=6e-3), claim["id"]
            checked += 1
    assert checked == 14


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("published"), "claim x: the claim lacks published"),
        (lambda c: c.update(published={"what": "a ratio"}), "claim x: published lacks value"),
        (lambda c: c["published"].update(value=None), "claim x: published/value must be a number"),
        (lambda c: c.update(note="?"), "claim x: the claim has the unknown key note"),
        (lambda c: c.update(text=" "), "claim x: text must be text"),
        (lambda c: c["predicate"].update(kind="guess"), "claim x: predicate/kind 'guess' is unknown"),
        (lambda c: c["predicate"].update(experiment="mian"), "claim x: predicate/experiment 'mian' is unknown"),
        (lambda c: c["predicate"].update(quantity="speed"), "claim x: predicate/quantity 'speed' is unknown"),
        (lambda c: c["predicate"].update(of="dynatre"), "claim x: predicate/of 'dynatre' is unknown"),
        (lambda c: c["predicate"].update(over={"colour": 1}), "claim x: predicate/over: column 'colour' is unknown"),
        (lambda c: c["predicate"].update(dataset="C4"), "claim x: predicate/dataset 'C4' is unknown"),
        (lambda c: c["predicate"].pop("over"), "claim x: predicate lacks over"),
        (lambda c: c["predicate"].pop("above"), "claim x: predicate needs exactly one of above, below"),
        (lambda c: c["predicate"].update(below=2), "claim x: predicate needs exactly one of above, below"),
        (lambda c: c["predicate"].update(above="1"), "claim x: predicate/above must be a number"),
        (lambda c: c["predicate"].update(of={"group": {"over": 1}}), "claim x: predicate/of/group must be a value"),
        (lambda c: c.update(requires={"device": "tpu"}), "claim x: requires/device 'tpu' is unknown"),
        (lambda c: c.update(predicate=3), "claim x: predicate must be a mapping"),
    ],
)
def test_mistakes_are_named_with_the_claim(tmp_path, change, message):
    wrong = copy.deepcopy(claim(ratio()))
    change(wrong)
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": [wrong]}))
    with pytest.raises(DynatreeError) as mistake:
        load_claims(path)
    assert message in str(mistake.value) and "\n" not in str(mistake.value)


def test_files_that_are_no_list_of_claims(tmp_path):
    path = tmp_path / "claims.yaml"
    for text, message in (
        ("claims: [", "cannot be read as YAML"),
        ("claims: []", "must have a list"),
        ("[]", "a list"),
    ):
        path.write_text(text)
        with pytest.raises(DynatreeError, match=message):
            load_claims(path)
    path.write_text(yaml.safe_dump({"claims": [claim(ratio()), claim(ratio())]}))
    with pytest.raises(DynatreeError, match="claim x: the id is used twice"):
        load_claims(path)
    with pytest.raises(DynatreeError, match="cannot be read"):
        load_claims(tmp_path / "nothing.yaml")


def test_ledger_as_latex():
    frame = requests_of({"fixed_tree": 1.0, "dynatree": 1.1}, wobble=SPREAD)
    claims = [claim(ratio(), text="100 % of a_b & c"), claim(ratio(), {"device": "cuda"}, published=None, id="y")]
    latex = claims_latex(judge(claims, {"main": frame}, {}, CPU, MARGINS))
    assert r"100 \% of a\_b \& c" in latex and "nan" not in latex
    assert latex.count("&") == 4 * 5 + 1  # two heads and two claims of six cells, and one escaped
    assert "needs another run" in latex and "-- & 1.1" in latex
    long = claims_latex(judge(load_claims(CLAIMS), {}, {}, CPU, MARGINS))
    assert long.count(r" \\") == len(load_claims(CLAIMS)) + 2


def test_script(tmp_path, preloaded_python):
    (tmp_path / "main.csv").write_text(requests_of({"fixed_tree": 1.0, "dynatree": 1.2}).to_csv(index=False))
    shapes_frame().to_csv(tmp_path / "shapes.csv", index=False)
    model = {"label": "M", "name": "m", "source": {"kind": "folder", "path": "m"}}
    prompts = {name: {"label": name, "source": {"kind": "file"}} for name in ("encyclopaedic", "narrative")}
    run = json.dumps({"device": "cpu", "models": {"target": model, "draft": model}, "prompts": prompts})
    command = [preloaded_python, "scripts/judge_claims.py", "--requests", tmp_path / "main.csv", "--run", run]
    command += ["--csv", tmp_path / "claims.csv", "--tex", tmp_path / "claims.tex"]
    command += ["--shapes", tmp_path / "shapes.csv", "--shape-claims", tmp_path / "shape_claims.csv"]
    command += ["--html", tmp_path / "claims.html", "--claims"]
    subprocess.run([*command, CLAIMS], cwd=ROOT, check=True, env={"PYTHONPATH": str(ROOT)})
    ledger = pd.read_csv(tmp_path / "claims.csv").set_index("id")
    assert ledger.loc["over-fixed-tree-wikitext", "verdict"] == "holds here"
    assert ledger.loc["over-fixed-tree-pg19", "verdict"] == "not testable here"
    assert (tmp_path / "claims.tex").read_text().startswith(r"\begin{longtable}")
    assert "holds here" in (tmp_path / "claims.html").read_text().lower()
    shapes = pd.read_csv(tmp_path / "shape_claims.csv").set_index("id")
    assert shapes.loc["tree-over-chain-ngram-all", "verdict"] == "holds here"
    failed = subprocess.run(
        [*command, "no.yaml"], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert failed.returncode == 2 and failed.stderr.startswith("error: no.yaml is missing")


def test_the_frozen_claims_have_the_recorded_hash():
    """Predicates and margins are fixed before a run; `sha256sum config/claims.yaml` freezes them anew."""
    recorded = (ROOT / "config/claims.sha256").read_text().split()[0]
    assert hashlib.sha256(CLAIMS.read_bytes()).hexdigest() == recorded
