"""Interleaving, comparison, resumption and the outside references."""

import json
from dataclasses import replace
from itertools import islice

import pytest
import torch

from dynatree import DynatreeError, ModelPair
from dynatree.benchmark import session as protocol
from dynatree.benchmark.hf_baselines import reference as huggingface
from dynatree.benchmark.logit_gap import largest_gap
from dynatree.benchmark.records import Journal, Measurement, Record, read_records, write_records
from dynatree.benchmark.schedule import assemble, next_requests, prompt_hash, requests, valid
from dynatree.benchmark.session import compare, first_difference
from dynatree.config.jobs import Case, DisturbanceRule, Group, Job
from tests.support.models import EOS, disturbed, reference, tiny_model

PROMPTS = [{"id": "a", "article": "a", "tokens": [4, 5, 6]}, {"id": "b", "article": "b", "tokens": [7]}]
WARM_UP = [{"id": "w", "article": "w", "tokens": [8, 9]}]
NO_RULE = DisturbanceRule(pass_ratio=1e9, ttft_ratio=1e9, cpu_share=0.0, attempts=0)
CASES = {
    "autoregressive": Case("dynatree", "autoregressive"),
    "assisted": Case("huggingface", "assisted", {"num_assistant_tokens": 2}),
    "dynatree": Case("dynatree", "dynatree", {"node_budget": 8}),
}
GROUPS = {"all": Group(12, CASES)}
JOB = Job(
    "main", "made up", "prompts", 2, "cpu", "float32", "stock", repetitions=2, warmup=1, traces=False, groups=GROUPS
)
JOB = replace(JOB, rule=NO_RULE)


@pytest.fixture(scope="module")
def pair():
    target = tiny_model()
    return ModelPair(target, disturbed(target))


def about(job: Job, **changes) -> dict:
    """The description of a session."""
    machine = dict.fromkeys(("machine", "processor", "device", "threads", "cpu_capability", "versions"), "the same")
    models = {role: {"sha256": role} for role in ("target", "draft")}
    known = {"started": "2026-01-01T00:00:00+00:00", "code": "c0de", "models": models, "environment": machine}
    return known | {"job": job.to_json()} | changes


def measure(pair: ModelPair, prompts: list[dict], job: Job, path, **changes) -> Measurement:
    """One process of a job, as scripts/benchmark.py runs it."""
    journal, session = Journal(path), about(job, **changes)
    while todo := next_requests(journal, prompts, job, session):
        protocol.measure(pair, todo, job, session, journal, WARM_UP)
    return assemble(journal, prompts, job, session)


def threes(items):
    items = iter(items)
    while found := tuple(islice(items, 3)):
        yield found


def test_the_order_of_methods_is_drawn_for_each_prompt():
    order = list(requests(PROMPTS, JOB))
    assert len(order) == len({(r, p["id"], case) for _, r, p, _, case in order}) == 12
    assert all(len({p["id"] for _, _, p, *_ in order[i : i + 3]}) == 1 for i in range(0, 12, 3))
    many = [{"id": str(number), "article": "a", "tokens": [number]} for number in range(60)]
    orders = [tuple(one.case for one in group) for group in threes(requests(many, replace(JOB, repetitions=1)))]
    assert len(set(orders)) == 6, "all permutations occur"
    for case in CASES:
        for place in range(3):
            assert 10 <= sum(one[place] == case for one in orders) <= 30
    again = [one.case for one in requests(many, replace(JOB, repetitions=1))]
    assert again == [one.case for one in requests(many, replace(JOB, repetitions=1))]
    assert again != [one.case for one in requests(many, replace(JOB, repetitions=1, seed=1))]
    fewer = {name: case for name, case in CASES.items() if name != "assisted"}
    kept = [one.case for one in requests(many, replace(JOB, repetitions=1, groups={"all": Group(12, fewer)}))]
    assert kept == [case for case in again if case != "assisted"], (
        "another case does not change the order of the others"
    )


def test_records_say_what_happened(pair, tmp_path):
    records = measure(pair, PROMPTS, JOB, tmp_path / "j").records
    assert [record.order for record in records] == list(range(12))
    for record in records:
        tokens = next(p["tokens"] for p in PROMPTS if p["id"] == record.prompt)
        assert record.tokens == reference(pair.target, tokens, 12, None)
        assert record.divergence is None
        assert 0 < record.seconds["ttft"] <= record.seconds["total"]
        assert record.rounds <= 11
    ours = next(record for record in records if record.case == "dynatree")
    assert ours.accepted <= ours.drafted_depth <= ours.verified
    assert sum(ours.seconds[part] for part in ("prefill", "draft", "verify", "other")) == pytest.approx(
        ours.seconds["total"]
    )


def test_a_method_that_is_not_lossless_stops_the_job_and_is_named(pair, tmp_path, monkeypatch):
    honest = protocol.run_case

    def forged(pair, prompt, method, new_tokens):
        out = honest(pair, prompt, method, new_tokens)
        if method.method == "dynatree" and prompt == [7] and new_tokens == 12:
            out["tokens"][5] += 1
        return out

    monkeypatch.setattr(protocol, "run_case", forged)
    with pytest.raises(
        DynatreeError, match=r"dynatree is not lossless: on prompt 'b' new token 5 is \d+, but .* emits \d+"
    ):
        measure(pair, PROMPTS, JOB, tmp_path / "j")


def test_groups_have_their_own_baseline_length_and_prompts(pair, tmp_path):
    groups = {
        "short": Group(5, CASES, prompt_tokens=2),
        "long": Group(9, CASES),
    }
    job = replace(JOB, groups=groups, repetitions=1)
    records = measure(pair, PROMPTS[:1], job, tmp_path / "j").records
    assert len(records) == 6
    for record in records:
        prompt, new_tokens = ([4, 5], 5) if record.group == "short" else ([4, 5, 6], 9)
        assert record.prompt_tokens == len(prompt)
        assert record.tokens == reference(pair.target, prompt, new_tokens, None)


def test_in_half_precision_a_difference_is_recorded_and_audited(tmp_path):
    target = tiny_model().bfloat16()
    pair = ModelPair(target, disturbed(target))
    job = replace(JOB, dtype="bfloat16", repetitions=1)
    records = measure(pair, PROMPTS, job, tmp_path / "j").records
    assert all(0 <= record.margin < 0.5 for record in records)
    record = records[0]
    prompt = PROMPTS[0]["tokens"]
    record.tokens[4] = (record.tokens[4] + 1) % 48
    assert largest_gap(pair, prompt, record.tokens) > 0.5
    compare(records, job)
    assert 4 in {other.divergence for other in records}


def test_the_audit_is_zero_for_what_the_target_would_say(pair):
    prompt = [4, 5, 6]
    tokens = reference(pair.target, prompt, 20, None)
    assert largest_gap(pair, prompt, tokens) == 0
    logits = pair.target(torch.tensor([prompt + tokens[:-1]])).logits[0, len(prompt) - 1 :]
    worst = logits[7].argmin().item()
    expected = (logits[7].max() - logits[7].min()).item()
    changed = [*tokens[:7], worst]
    assert largest_gap(pair, prompt, changed) == pytest.approx(expected, rel=1e-4)


def dying_after(requests: int, monkeypatch) -> list:
    """Let the request after so many be interrupted; warming up counts too."""
    honest, calls = protocol.run_case, []

    def dying(*arguments):
        calls.append(arguments)
        if len(calls) > requests:
            raise KeyboardInterrupt
        return honest(*arguments)

    monkeypatch.setattr(protocol, "run_case", dying)
    return calls


@pytest.mark.parametrize(
    "finished", [1, pytest.param(4, marks=pytest.mark.nightly), 5, pytest.param(6, marks=pytest.mark.nightly), 11]
)
def test_an_interrupted_job_goes_on_after_its_last_whole_record(pair, tmp_path, monkeypatch, finished):
    path = tmp_path / "j"
    with monkeypatch.context() as patched:
        dying_after(3 + finished, patched)
        with pytest.raises(KeyboardInterrupt):
            measure(pair, PROMPTS, JOB, path)
    assert len(Journal(path).records) == finished
    with path.open("a") as stream:
        stream.write('{"session": "x", "prom')
    calls = dying_after(99, monkeypatch)
    found = measure(pair, PROMPTS, JOB, path, started="2026-01-02T00:00:00+00:00")
    journal = Journal(path)
    first, second = journal.sessions
    measured = {record.key for record in found.records if record.session == first and record.case != "autoregressive"}
    assert measured == {record.key for record in journal.records[:finished] if record.case != "autoregressive"}
    planned = {(repetition, prompt["id"], *case) for _, repetition, prompt, *case in requests(PROMPTS, JOB)}
    assert {record.key for record in found.records} == planned
    warmed_up, repeated = 3, 1
    assert len(calls) <= warmed_up + 12 - finished + repeated, "only the baseline of the interrupted prompt runs again"
    baselines = {(r.key[:3], r.session) for r in found.records if r.case == "autoregressive"}
    assert all((record.key[:3], record.baseline) in baselines for record in found.records)
    later = [record for record in found.records if record.session == second]
    assert all(record.baseline == second for record in later), "what runs now is paired with a baseline of now"


def test_a_changed_method_is_measured_again_with_its_baseline_and_nothing_else(pair, tmp_path, monkeypatch):
    path = tmp_path / "j"
    before = measure(pair, PROMPTS, JOB, path)
    changed = replace(
        JOB, groups={"all": Group(12, CASES | {"dynatree": Case("dynatree", "dynatree", {"node_budget": 4})})}
    )
    calls = dying_after(99, monkeypatch)
    after = measure(pair, PROMPTS, changed, path, started="2026-01-02T00:00:00+00:00")
    assert {case.method for _, _, case, _ in calls} == {"autoregressive", "dynatree"}
    first, second = sorted(after.sessions)
    for record in after.records:
        if record.case != "autoregressive":
            assert record.session == record.baseline == (second if record.case == "dynatree" else first)
    kept = [record.seconds for record in before.records if record.case == "assisted"]
    assert [record.seconds for record in after.records if record.case == "assisted"] == kept
    back = measure(pair, PROMPTS, JOB, path)
    assert back.records == before.records, "superseded records stay in the journal"


def test_a_clock_that_jumps_back_loses_and_mixes_nothing(pair, tmp_path, monkeypatch):
    path = tmp_path / "j"
    cases = {name: CASES[name] for name in ("autoregressive", "dynatree")}
    job = replace(JOB, repetitions=1, warmup=0, groups={"all": Group(6, cases)})
    with monkeypatch.context() as patched:
        dying_after(3, patched)
        with pytest.raises(KeyboardInterrupt):
            measure(pair, PROMPTS, job, path, started="2031-01-01T00:00:00+00:00")
    found = measure(pair, PROMPTS, job, path)  # years earlier
    first, second = Journal(path).sessions
    assert first > second, "the names of the sessions are in the wrong order, or this test shows nothing"
    assert list(found.sessions) == [first, second]
    assert found.latest["started"] == about(JOB)["started"]
    kept = [record for record in found.records if record.session == first and record.case != "autoregressive"]
    assert {record.key for record in kept} == {
        record.key for record in Journal(path).records[:3] if record.case != "autoregressive"
    }
    baselines = {(record.key[:3], record.session) for record in found.records if record.case == "autoregressive"}
    for record in kept:
        own = (record.key[:3], first) in baselines
        assert record.baseline == (first if own else second)
    write_records(tmp_path / "r.json", found)
    assert read_records(tmp_path / "r.json").latest == found.latest


@pytest.mark.parametrize(
    "change",
    [
        {"code": "other"},
        {"models": {"target": {"sha256": "other"}, "draft": {"sha256": "draft"}}},
        {"environment": about(JOB)["environment"] | {"threads": 4}},
        {"dtype": "bfloat16"},
        {"backend": "small_batch"},
        {"groups": {"all": Group(9, CASES)}},
    ],
)
def test_records_of_other_conditions_do_not_count(tmp_path, change):
    path = tmp_path / "j"
    journal = Journal(path)
    record = a_record(journal.begin(about(JOB)))
    journal.add(record)
    assert valid(Journal(path), PROMPTS, JOB, about(JOB)) == [record]
    of_job = {name: value for name, value in change.items() if hasattr(JOB, name)}
    changed = replace(JOB, **of_job)
    session = about(changed) if of_job else about(JOB) | change
    assert valid(Journal(path), PROMPTS, changed, session) == []
    other_text = [{"id": "a", "article": "a", "tokens": [9, 9, 9]}]
    assert valid(Journal(path), other_text, JOB, about(JOB)) == []
    other_commit = about(JOB, started="2027-01-01T00:00:00+00:00", prompts_sha256="of a file with more prompts")
    assert valid(Journal(path), PROMPTS[:1], JOB, other_commit) == [record]


@pytest.mark.parametrize("damage", [b"\x00\x00{", b'{"prompt": "a"}', b'{"session": "x", "prompt": "a"}', b"[]"])
def test_a_damaged_line_costs_that_request_only(tmp_path, capsys, damage):
    path = tmp_path / "j"
    journal = Journal(path)
    session = journal.begin(about(JOB))
    for case in ("autoregressive", "dynatree"):
        journal.add(a_record(session, case))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + damage + b"\n" + lines[2])
    assert [record.case for record in Journal(path).records] == ["dynatree"]
    assert "1 damaged line(s) left out; these requests are measured again" in capsys.readouterr().err


def a_record(session: str = "s", case: str = "dynatree") -> Record:
    order = next(one.order for one in requests(PROMPTS, JOB) if (one.case, one.prompt["id"]) == (case, "a"))
    where = {"session": session, "baseline": session, "prompt": "a", "article": "a", "group": "all", "case": case}
    told = {"prompt_sha256": prompt_hash([4, 5, 6]), "repetition": 0, "order": order, "time": "t", "prompt_tokens": 3}
    seconds = {"total": 1.0, "ttft": 0.1}
    return Record(
        **where,
        **told,
        tokens=[1, 2],
        divergence=None,
        margin=None,
        seconds=seconds,
        rounds=1,
        draft_forwards=2,
        verified=3,
        accepted=1,
        drafted_depth=2,
        draft_rows=4,
        host={"cpu": 1.9, "switches": 0.0, "pressure": None, "steal": None},
        passes={"target": [[3, 0], [2, 3]], "draft": []},
    )


def test_records_survive_their_file_and_damage_is_named(tmp_path):
    path = tmp_path / "r.json"
    found = Measurement(JOB, {"s": about(JOB)}, [a_record()], disturbed=[])
    write_records(path, found)
    assert read_records(path) == found
    content = path.read_text()
    path.write_text(content[:-20])
    with pytest.raises(DynatreeError, match=r"r.json is damaged .*; run .* again, which makes it from its journal"):
        read_records(path)
    assert not path.exists()
    assert path.with_name("r.json.damaged").exists()
    path.write_text(json.dumps({"job": {}, "sessions": {}, "records": [{"prompt": "a"}]}))
    with pytest.raises(DynatreeError, match="is not a file of records"):
        read_records(path)


@pytest.mark.parametrize(
    ("tokens", "expected", "index"), [([1, 2], [1, 2], None), ([1, 3], [1, 2], 1), ([1], [1, 2], 1), ([], [], None)]
)
def test_first_difference(tokens, expected, index):
    assert first_difference(tokens, expected) == index


@pytest.mark.parametrize(
    ("method", "length"), [("generate", None), ("assisted", None), ("assisted", 3), ("prompt_lookup", None)]
)
def test_references_never_stop_early_and_leave_no_trace(method, length):
    """A target that emits its end-of-sequence token at once still emits as many tokens as asked."""
    target = tiny_model(seed=1)
    prompt = [4, 5, 6]
    target.generation_config.eos_token_id = reference(target, prompt, 3, None)[2]
    pair = ModelPair(target, disturbed(target))
    configs = [vars(model.generation_config).copy() for model in (pair.target, pair.draft)]
    for _ in range(2):
        out = huggingface(pair, prompt, method, 30, length)
        assert out.tokens == reference(target, prompt, 30, None)
        assert out.rounds == 29 or method != "generate"
        assert out.rounds <= 29
        assert (out.draft_forwards > 0) == (method == "assisted")
        assert 0 < out.seconds["ttft"] < out.seconds["total"]
    assert configs == [vars(model.generation_config) for model in (pair.target, pair.draft)]
    assert target.generation_config.eos_token_id != EOS


def test_a_constant_length_drafts_that_many_tokens_each_round():
    target = tiny_model(seed=4)
    out = huggingface(ModelPair(target, disturbed(target, noise=0.0)), [4, 5, 6], "assisted", 4 * 8, 3)
    assert (
        out.rounds + 1 == 8
    )  # the pass over the prompt verifies three drafted tokens too; text without padding tokens


def test_a_static_cache_serves_requests_of_every_length_and_refuses_longer_ones(pair):
    """On a CPU transformers compiles nothing for it."""
    for prompt, length in (([4, 5, 6], 20), ([7], 30)):
        out = huggingface(pair, prompt, "static", length, capacity=64)
        assert out.tokens == reference(pair.target, prompt, length, None)
        assert (out.rounds, out.draft_forwards) == (length - 1, 0)
    with pytest.raises(DynatreeError, match="a request needs 65 cache entries; raise capacity of method static above"):
        huggingface(pair, [4, 5, 6, 7, 8], "static", 60, capacity=64)


def test_unknown_references_are_refused(pair):
    with pytest.raises(DynatreeError, match="unknown Hugging Face method 'beam'"):
        huggingface(pair, [1], "beam", 4)


def slow_once(case: str, monkeypatch, times: int = 1) -> None:
    """Let the first requests of a case on prompt "a" seem to take ten times as long."""
    honest, left = protocol.run_case, [times]

    def slowed(pair, prompt, method, new_tokens):
        out = honest(pair, prompt, method, new_tokens)
        steady = {"total": 1.0, "ttft": 0.1} | dict.fromkeys(("prefill", "draft", "verify", "other"), 0.225)
        out["seconds"] = steady
        out["rounds"] = 10
        if method.method == case and prompt == PROMPTS[0]["tokens"] and left[0]:
            left[0] -= 1
            out["seconds"] = {part: 10 * seconds for part, seconds in steady.items()}
        return out

    monkeypatch.setattr(protocol, "run_case", slowed)


RULED = replace(JOB, repetitions=1, rule=DisturbanceRule(cpu_share=0.0, attempts=2))
THREE = [*PROMPTS, {"id": "c", "article": "c", "tokens": [3, 3]}]


@pytest.mark.parametrize("case", ["dynatree", "autoregressive"])
def test_a_disturbed_request_is_measured_again_with_its_baseline(pair, tmp_path, monkeypatch, case):
    slow_once(case, monkeypatch)
    found = measure(pair, THREE, RULED, tmp_path / "j")
    journal = Journal(tmp_path / "j")
    first, second = journal.sessions
    again = {record.case for record in journal.records if record.session == second}
    assert again == {"autoregressive", case}, "nothing else runs again, and the journal keeps everything"
    assert [(one["case"], one["prompt"], one["kept"]) for one in found.disturbed] == [(case, "a", False)]
    assert found.disturbed[0]["per_pass"] == pytest.approx(10)
    counted = {(record.case, record.prompt): record for record in found.records}
    assert counted[case, "a"].session == second and counted[case, "a"].seconds["total"] == 1.0
    assert counted["assisted", "a"].baseline == (second if case == "autoregressive" else first)
    assert measure(pair, THREE, RULED, tmp_path / "j").records == found.records, "nothing is left to measure"


def test_a_request_that_stays_slow_counts_after_the_last_attempt(pair, tmp_path, monkeypatch):
    slow_once("dynatree", monkeypatch, times=99)
    found = measure(pair, THREE, RULED, tmp_path / "j")
    records = [
        record for record in Journal(tmp_path / "j").records if (record.case, record.prompt) == ("dynatree", "a")
    ]
    assert len(records) == 1 + RULED.rule.attempts
    assert [one["kept"] for one in found.disturbed].count(True) == 1


def test_sittings_are_sessions_of_their_own(pair, tmp_path):
    job = replace(JOB, repetitions=3, sessions=2)
    found = measure(pair, PROMPTS[:1], job, tmp_path / "j")
    by_session = {name: {r.repetition for r in found.records if r.session == name} for name in found.sessions}
    assert list(by_session.values()) == [{0, 1}, {2}]


def test_learned_statistics_do_not_pass_from_request_to_request(pair, tmp_path, monkeypatch):
    cases = {name: CASES[name] for name in ("autoregressive",)} | {"cost_aware": Case("dynatree", "cost_aware")}
    published = {"published": Case("dynatree", "dynatree", {"history": "published_code", "node_budget": 8})}
    job = replace(JOB, repetitions=1, calibration=8, groups={"all": Group(12, cases | published)})
    honest, seen = protocol.run_case, []

    def watching(pair, prompt, case, new_tokens):
        before = sum(policy._tokens for policy in pair.state.policies.values() if hasattr(policy, "_tokens"))
        seen.append((case.method, tuple(prompt), before))
        return honest(pair, prompt, case, new_tokens)

    monkeypatch.setattr(protocol, "run_case", watching)
    measure(pair, PROMPTS, job, tmp_path / "j")
    measured = [(method, before) for method, prompt, before in seen if prompt != (8, 9)]
    assert len({before for _, before in measured}) == 1 and measured[0][1] > 0, "each begins as after the warm-up"
    assert {prompt for _, prompt, _ in seen[:5]} == {(8, 9)}, "the warm-up reads other texts"
    history = [
        policy for policy in pair.state.policies.values() if getattr(policy, "history", None) == "published_code"
    ]
    assert len(history[0]._feedback.recent) >= 3, "the published rule acts between requests"
