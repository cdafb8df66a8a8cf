"""llama.cpp as a peer, on a tiny random Llama."""

import json
import shutil
import sys
from dataclasses import replace

import pytest

from dynatree.benchmark import session as protocol
from dynatree.benchmark.llama_cpp import LlamaCpp, _wait_for_idle_threads, load_library
from dynatree.benchmark.records import Journal
from dynatree.benchmark.schedule import assemble, next_requests
from dynatree.config.jobs import Case, Group
from dynatree.data.gguf_export import export_gguf
from dynatree.data.random_model import save_tiny_checkpoint
from dynatree.errors import DynatreeError
from dynatree.models.loading import load_pair
from tests.benchmark.test_session import CASES, JOB, about
from tests.support.models import reference

PLAIN = Case("llama_cpp", "generate")
NGRAM = Case("llama_cpp", "ngram", {"pattern": 1, "draft": 3})
PROMPT = [7, 9, 11, 13, 7, 9, 11, 20, 30, 7, 9]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama_cpp")
    save_tiny_checkpoint(folder / "target", "llama", seed=3, layers=2, noise=0.0)
    save_tiny_checkpoint(folder / "draft", "llama", seed=3, layers=2, noise=0.05)
    export_gguf(folder / "target", folder / "gguf")
    return folder


@pytest.fixture(scope="module")
def pair(folder):
    return load_pair(folder / "target", folder / "draft", "cpu", "float32")


@pytest.fixture(scope="module")
def engine(folder):
    with LlamaCpp(folder / "gguf", threads=1) as engine:
        yield engine


def test_llama_cpp_emits_the_targets_tokens_and_counts_its_rounds(pair, engine):
    expected = reference(pair.target, PROMPT, 40, None)
    out, counts = engine.decode(PROMPT, PLAIN, 40)
    assert out.tokens == expected
    assert out.rounds == 39
    assert counts == {"verified": 0, "accepted": 0, "drafted_depth": 0}
    assert 0 < out.seconds["ttft"] < out.seconds["total"]


def test_n_grams_are_drafted_and_change_no_token(pair, engine):
    expected = reference(pair.target, PROMPT, 40, None)
    out, counts = engine.decode(PROMPT, NGRAM, 40)
    assert out.tokens == expected
    assert counts["verified"] > 0
    assert out.rounds == 39 - counts["accepted"]


def test_requests_do_not_depend_on_earlier_ones(engine):
    first = engine.decode(PROMPT, PLAIN, 12)[0].tokens
    engine.decode(PROMPT[::-1], PLAIN, 12)
    assert engine.decode(PROMPT, PLAIN, 12)[0].tokens == first


def test_tokens_that_end_a_text_are_emitted_and_do_not_stop(pair, folder, tmp_path):
    expected = reference(pair.target, PROMPT, 20, None)
    shutil.copytree(folder / "target", tmp_path / "target")
    for name in ("config.json", "generation_config.json"):
        path = tmp_path / "target" / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": expected[2]}))
    export_gguf(tmp_path / "target", tmp_path / "gguf")
    with LlamaCpp(tmp_path / "gguf", threads=1) as engine:
        assert engine.decode(PROMPT, PLAIN, 20)[0].tokens == expected


def test_strangers_cannot_send_requests(engine):
    server = engine._server(PLAIN)
    key, server.key = server.key, "wrong"
    try:
        with pytest.raises(DynatreeError, match=r"llama\.cpp refuses a request"):
            server.complete({"prompt": PROMPT, "n_predict": 1})
    finally:
        server.key = key


def test_a_file_that_llama_cpp_cannot_read_is_named(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with LlamaCpp(tmp_path, threads=1) as engine, pytest.raises(DynatreeError, match=r"llama\.cpp cannot load .*gguf"):
        engine.decode(PROMPT, PLAIN, 2)


def test_a_missing_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(DynatreeError, match=r"^llama\.cpp is not installed; install it with: pip install xllamacpp"):
        load_library()


def test_a_request_ends_when_no_thread_computes_any_more():
    used = iter([0.0, 0.02, 0.02, 0.04, 0.04, 0.0401])  # CPU seconds before and after each look
    looks = iter([0.0, 0.02] * 3)
    _wait_for_idle_threads(lambda: next(used), lambda: next(looks))
    assert next(used, None) is None, "it looked until the third time, when nothing ran"


def job_with_llama_cpp():
    cases = CASES | {"llama_cpp": PLAIN, "llama_cpp_ngram": NGRAM}
    return replace(JOB, repetitions=1, groups={"all": Group(12, cases)})


def run(pair, engine, path):
    job, prompts = (
        job_with_llama_cpp(),
        [
            {"id": "a", "article": "a", "tokens": PROMPT},
            {"id": "b", "article": "b", "tokens": PROMPT[3:]},
        ],
    )
    journal, known = Journal(path), about(job)
    todo = next_requests(journal, prompts, job, known)
    protocol.measure(pair, todo, job, known, journal, [{"id": "w", "tokens": PROMPT[1:]}], engine)
    return assemble(journal, prompts, job, known).records


def test_its_requests_are_interleaved_compared_and_audited(pair, engine, tmp_path):
    records = run(pair, engine, tmp_path / "j")
    assert {record.case for record in records if record.prompt == "a"} == set(job_with_llama_cpp().groups["all"].cases)
    own = [record for record in records if record.case.startswith("llama_cpp")]
    assert len(own) == 4
    for record in own:
        assert record.divergence is None
        assert 0 <= record.margin < 1e-3
        assert record.trace is None
    assert all(record.margin is None for record in records if record not in own)


def test_a_difference_is_recorded_and_does_not_stop_the_job(pair, engine, tmp_path, monkeypatch):
    honest = engine.decode

    def forged(prompt, case, new_tokens):
        out, counts = honest(prompt, case, new_tokens)
        if new_tokens == 12:
            out.tokens[5] += 1
        return out, counts

    monkeypatch.setattr(engine, "decode", forged)
    records = run(pair, engine, tmp_path / "j")
    own = [record for record in records if record.case.startswith("llama_cpp")]
    assert {record.divergence for record in own} == {5}
    assert all(record.margin > 0 for record in own)
    assert all(record.divergence is None for record in records if record not in own)
