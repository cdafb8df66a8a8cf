"""Interleaving, comparison, resumption and the outside references."""

import json

import pytest
import torch
from tiny import EOS, disturbed, reference, tiny_model

from dynatree import DynatreeError, ModelPair
from dynatree.benchmark import protocol
from dynatree.benchmark.audit import largest_gap
from dynatree.benchmark.protocol import first_difference, measure
from dynatree.benchmark.records import Journal, Record, read_records, requests, write_records
from dynatree.benchmark.references import reference as huggingface

PROMPTS = [{"id": "a", "tokens": [4, 5, 6]}, {"id": "b", "tokens": [7]}]
CASES = {
    "autoregressive": {"label": "AR", "engine": "dynatree", "method": "autoregressive", "options": {}},
    "assisted": {"label": "HF", "engine": "huggingface", "method": "assisted", "options": {"num_assistant_tokens": 2}},
    "dynatree": {"label": "D", "engine": "dynatree", "method": "dynatree", "options": {"node_budget": 8}},
}
GROUPS = {"all": {"new_tokens": 12, "prompt_tokens": None, "cases": CASES}}
JOB = {"dtype": "float32", "repetitions": 2, "warmup": 1, "groups": GROUPS}


@pytest.fixture(scope="module")
def pair():
    target = tiny_model()
    return ModelPair(target, disturbed(target))


def test_methods_take_turns_and_none_is_always_first():
    order = list(requests(PROMPTS, GROUPS, repetitions=2))
    assert len(order) == len({(r, p["id"], case) for r, p, _, case in order}) == 12
    assert [case for *_, case in order[0::3]] == ["autoregressive", "assisted", "assisted", "dynatree"]
    assert all(len({p["id"] for _, p, *_ in order[i : i + 3]}) == 1 for i in range(0, 12, 3))


def test_records_say_what_happened(pair, tmp_path):
    records = measure(pair, PROMPTS, JOB, Journal(tmp_path / "j", {}))
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
        if method["label"] == "D" and prompt == [7] and new_tokens == 12:
            out["tokens"][5] += 1
        return out

    monkeypatch.setattr(protocol, "run_case", forged)
    with pytest.raises(
        DynatreeError, match=r"dynatree is not lossless: on prompt 'b' new token 5 is \d+, but .* emits \d+"
    ):
        measure(pair, PROMPTS, JOB, Journal(tmp_path / "j", {}))


def test_groups_have_their_own_baseline_length_and_prompts(pair, tmp_path):
    groups = {
        "short": {"new_tokens": 5, "prompt_tokens": 2, "cases": CASES},
        "long": {"new_tokens": 9, "prompt_tokens": None, "cases": CASES},
    }
    records = measure(pair, PROMPTS[:1], JOB | {"groups": groups, "repetitions": 1}, Journal(tmp_path / "j", {}))
    assert len(records) == 6
    for record in records:
        prompt, new_tokens = ([4, 5], 5) if record.group == "short" else ([4, 5, 6], 9)
        assert record.prompt_tokens == len(prompt)
        assert record.tokens == reference(pair.target, prompt, new_tokens, None)


def test_in_half_precision_a_difference_is_recorded_and_audited(tmp_path):
    target = tiny_model().bfloat16()
    pair = ModelPair(target, disturbed(target))
    job = JOB | {"dtype": "bfloat16", "repetitions": 1}
    records = measure(pair, PROMPTS, job, Journal(tmp_path / "j", {}))
    assert all(0 <= record.margin < 0.5 for record in records)
    record = records[0]
    prompt = PROMPTS[0]["tokens"]
    record.tokens[4] = (record.tokens[4] + 1) % 48
    assert largest_gap(pair, prompt, record.tokens) > 0.5
    protocol._compare(records, exact=False)
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


def test_an_interrupted_job_goes_on_after_its_last_whole_record(pair, tmp_path, monkeypatch, capsys):
    path, honest, calls = tmp_path / "j", protocol.run_case, []

    def dying(*arguments):
        calls.append(arguments)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return honest(*arguments)

    monkeypatch.setattr(protocol, "run_case", dying)
    with pytest.raises(KeyboardInterrupt):
        measure(pair, PROMPTS, JOB, Journal(path, {"code": 1}))
    finished = path.read_text().count("\n") - 1
    assert finished == 6  # ten requests, three of which warmed up and one was interrupted
    with path.open("a") as stream:
        stream.write('{"prompt": "b", "prom')
    monkeypatch.setattr(protocol, "run_case", honest)
    journal = Journal(path, {"code": 1})
    assert len(journal.records) == finished
    before = [record.seconds for record in journal.records]
    records = measure(pair, PROMPTS, JOB, journal)
    assert len(records) == 12
    assert [record.seconds for record in records[:finished]] == before
    assert len(path.read_text().splitlines()) == 13


def test_a_journal_of_other_code_is_set_aside(tmp_path, capsys):
    path = tmp_path / "x.journal"
    Journal(path, {"code": 1}).add(a_record())
    assert Journal(path, {"code": 2}).records == []
    assert (tmp_path / "x.superseded").exists()
    assert "another measurement" in capsys.readouterr().err


def a_record() -> Record:
    return Record("a", 3, "all", "m", 0, 0, [1, 2], None, None, {"total": 1.0, "ttft": 0.1}, 1, 2, 3, 1, 2, 0.0)


def test_records_survive_their_file_and_damage_is_named(tmp_path):
    path = tmp_path / "r.json"
    write_records(path, {"code": "x"}, [a_record()])
    assert read_records(path) == ({"code": "x"}, [a_record()])
    content = path.read_text()
    path.write_text(content[:-20])
    with pytest.raises(DynatreeError, match=r"r.json is damaged .*; delete it and run the pipeline again"):
        read_records(path)
    path.write_text(json.dumps({"meta": {}, "records": [{"prompt": "a"}]}))
    with pytest.raises(DynatreeError, match="is not a file of records"):
        read_records(path)


@pytest.mark.parametrize(
    ("tokens", "expected", "index"), [([1, 2], [1, 2], None), ([1, 3], [1, 2], 1), ([1], [1, 2], 1), ([], [], None)]
)
def test_first_difference(tokens, expected, index):
    assert first_difference(tokens, expected) == index


@pytest.mark.parametrize(("method", "length"), [("generate", None), ("assisted", None), ("assisted", 3)])
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
        assert out.rounds == 29 or method == "assisted"
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


def test_unknown_references_are_refused(pair):
    with pytest.raises(DynatreeError, match="unknown Hugging Face method 'beam'"):
        huggingface(pair, [1], "beam", 4)
