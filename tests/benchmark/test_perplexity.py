"""Measured cache compression against plain passes of the model, on tiny models."""

import json
import math
from pathlib import Path

import pytest
import torch

from dynatree.benchmark.passkey import answer, ask_all, passkey_tests, prepare
from dynatree.benchmark.perplexity import (
    build_method,
    check_job,
    check_lengths,
    generate_all,
    generate_compressed,
    mean_rows,
    read_all,
    read_text,
)
from dynatree.config.compression_grid import compression_cases, compression_job, with_classification
from dynatree.config.load import load_config
from dynatree.data.random_model import byte_tokenizer
from dynatree.errors import DynatreeError
from dynatree.kvcompress import make_method
from tests.support.models import reference, tiny_model

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("llama", "gpt_neox")
TOKENS = torch.randint(4, 48, (40,), generator=torch.Generator().manual_seed(0)).tolist()


def plain(model, tokens: list[int], window: int | None = None) -> tuple[float, float]:
    """Mean negative log-likelihood and accuracy by one pass; each token attends to ``window`` tokens before it."""
    length = len(tokens)
    visible = torch.ones(length, length, dtype=torch.bool).tril()
    if window is not None:
        visible = visible.triu(-window)
    mask = torch.zeros(length, length).masked_fill(~visible, torch.finfo(torch.float32).min)
    with torch.inference_mode():
        logits = model(torch.tensor([tokens]), attention_mask=mask[None, None]).logits[0, :-1]
    targets = torch.tensor(tokens[1:])
    nll = torch.nn.functional.cross_entropy(logits, targets).item()
    return nll, (logits.argmax(-1) == targets).float().mean().item()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [1, 7, 40])
def test_reading_with_the_full_cache_is_one_pass(kind, chunk):
    model = tiny_model(kind)
    found = read_text(model, make_method("full"), TOKENS, chunk)
    assert (found["nll"], found["accuracy"]) == pytest.approx(plain(model, TOKENS), abs=1e-5)
    assert found["rows"] == found["mean_rows"] == len(TOKENS)
    assert found["growth"][-1] == [len(TOKENS), found["cache_bytes"]]


@pytest.mark.parametrize("kind", KINDS)
def test_reading_token_by_token_sees_the_kept_rows_and_nothing_else(kind):
    model = tiny_model(kind)
    found = read_text(model, make_method("sliding_window", budget=6), TOKENS, 1)
    assert (found["nll"], found["accuracy"]) == pytest.approx(plain(model, TOKENS, window=6), abs=1e-5)
    assert found["nll"] != pytest.approx(plain(model, TOKENS)[0], abs=1e-3)
    assert found["rows"] == 6


def test_skipped_layers_count_as_cache():
    model = tiny_model()
    whole, skipped, reduced = (
        read_text(model, make_method(name, **options), TOKENS, 4)["cache_bytes"]
        for name, options in (
            ("full", {}),
            ("sliding_window", {"budget": 6, "skip_layers": [0]}),
            ("sliding_window", {"budget": 6}),
        )
    )
    assert whole > skipped > whole / 2 > reduced


@pytest.mark.parametrize("kind", KINDS)
def test_generation_with_the_full_cache_is_that_of_hugging_face(kind):
    model = tiny_model(kind)
    found = generate_compressed(model, make_method("full"), TOKENS[:12], 9)
    assert found["tokens"] == reference(model, TOKENS[:12], 9, eos_token_id=None)
    assert 0 < found["ttft"] < found["seconds"]


def classification(folder: Path, model) -> Path:
    """A window of 5 for the first head of each layer and everything for the others."""
    config = model.config
    heads = [
        {"layer": layer, "head": head, "kind": "mixed", "window": 5 if head < 3 else None}
        for layer in range(config.num_hidden_layers)
        for head in range(config.num_attention_heads)
    ]
    sizes = {"layers": config.num_hidden_layers, "heads": config.num_attention_heads, "kv_heads": 2}
    path = folder / "heads.json"
    path.write_text(json.dumps({"format": "dynatree-heads", "version": 1, "model": sizes, "heads": heads}))
    return path


def test_matched_rows_are_those_that_head_aware_holds(tmp_path):
    model = tiny_model()
    method = make_method("head_aware", classification=classification(tmp_path, model), sinks=2)
    held = read_text(model, method, TOKENS, 4)["mean_rows"]
    assert mean_rows(method, len(TOKENS)) == math.ceil(held) == math.ceil((7 + 40) / 2)
    skipping = make_method("head_aware", classification=classification(tmp_path, model), sinks=2, skip_layers=[0])
    assert mean_rows(skipping, len(TOKENS)) == math.ceil(read_text(model, skipping, TOKENS, 4)["mean_rows"])


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> dict:
    config = load_config(ROOT / "config/ci.yaml")
    config["compression"] |= {
        "tokens": 40,
        "budgets": [24],
        "generation": {"budget": 24, "prompt_tokens": 30, "new_tokens": 3},
    }
    made = compression_job(config, "narrative")
    heads = classification(tmp_path_factory.mktemp("heads"), tiny_model())
    return with_classification(made, heads)


def test_every_case_reads_and_generates(job):
    model = tiny_model()
    texts = [{"id": f"t{number}", "tokens": TOKENS[number:] + TOKENS[:number]} for number in range(2)]
    read = read_all(model, job, texts)
    assert [row["case"] for row in read if row["prompt"] == "t0"] == list(job["cases"])
    assert all(row["growth"] for row in read[: len(job["cases"])])
    generated = generate_all(model, job, texts)
    assert {(row["case"], row["prompt"]) for row in generated} == {(c, t["id"]) for c in job["cases"] for t in texts}
    assert sum("peak_bytes" in row for row in generated) == len(job["generation_cases"])
    assert generated[0]["case"] != generated[len(job["generation_cases"])]["case"], "another one begins"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("tokens", 129, "compression/tokens needs 129 tokens, but the model has 128 positions"),
        (
            "generation",
            {"budget": 24, "prompt_tokens": 120, "new_tokens": 9},
            "compression/generation needs 129 tokens",
        ),
        ("cases", {"h2o-4": {"recent": 8}}, r"compression: case 'h2o-4': budget \(4\) is below recent"),
        ("generation_cases", {"h2o-4": {"skip_layers": [9]}}, "compression: case 'h2o-4': skip_layers names layer 9"),
    ],
)
def test_a_job_that_cannot_be_done_does_not_begin(job, place, value, message):
    check_job(tiny_model(), job)
    if place.endswith("cases"):
        ((key, options),) = value.items()
        value = {key: {"method": "h2o", "options": {"budget": 4} | options, "rows_of": None}}
    with pytest.raises(DynatreeError, match=message):
        check_job(tiny_model(), job | {place: value})


def test_hidden_numbers_that_do_not_fit_are_said_before_anything_is_asked(job):
    model, tokenizer = tiny_model(vocabulary=259, positions=1024), byte_tokenizer()
    assert prepare(model, tokenizer, job | {"passkey": None}) == []
    assert prepare(model, tokenizer, job) == passkey_tests(tokenizer, job["passkey"])
    with pytest.raises(DynatreeError, match="passkey/lengths needs 1026 tokens"):
        prepare(model, tokenizer, job | {"passkey": job["passkey"] | {"lengths": [1020]}})
    wrong = {"h2o-4": {"method": "h2o", "options": {"budget": 4, "recent": 8}, "rows_of": None}}
    with pytest.raises(DynatreeError, match="case 'h2o-4'"):
        prepare(model, tokenizer, job | {"passkey_cases": wrong})


def test_what_exceeds_the_positions_is_said(job):
    with pytest.raises(DynatreeError, match="compression/tokens needs 129 tokens, but the model has 128 positions"):
        check_lengths(tiny_model(), 129, "tokens")


@pytest.mark.parametrize("name", ["demo", "ci", "paper", "local.example"])
def test_every_case_of_the_shipped_configurations_can_be_made(name, tmp_path):
    config = load_config(ROOT / f"config/{name}.yaml")
    heads = classification(tmp_path, tiny_model())
    job = with_classification(compression_job(config, config["compression"]["datasets"][0]), heads)
    for kind in ("cases", "generation_cases", "passkey_cases"):
        assert all(build_method(job[kind], key, 100) for key in job[kind])
    assert next(iter(compression_cases(config))) == "full"


def test_the_number_stands_where_it_should():
    tokenizer = byte_tokenizer()
    settings = {"lengths": [400], "depths": [0, 1], "count": 2}
    tests = passkey_tests(tokenizer, settings)
    assert tests == passkey_tests(tokenizer, settings)
    assert len({test["key"] for test in tests}) == 4
    for test in tests:
        text = tokenizer.decode(test["context"])
        assert len(test["context"]) + len(test["question"]) <= 400
        assert text.count(test["key"]) == 2
        assert text.startswith("The pass key") == (test["depth"] == 0)
        assert tokenizer.decode(test["question"]).endswith("The pass key is")
    with pytest.raises(DynatreeError, match="passkey/lengths asks for 50 tokens; the minimum is 186"):
        passkey_tests(tokenizer, settings | {"lengths": [50]})


def test_answers_with_the_full_cache_are_those_of_generate(job):
    model, tokenizer = tiny_model(vocabulary=259, positions=1024), byte_tokenizer()
    test = passkey_tests(tokenizer, {"lengths": [300], "depths": [0.5], "count": 1})[0]
    said = answer(model, tokenizer, make_method("full"), test, 64)
    expected = reference(model, test["context"] + test["question"], 7, eos_token_id=None)
    assert said == tokenizer.decode(expected).strip()
    rows = ask_all(model, tokenizer, job, prepare(model, tokenizer, job))
    assert {row["case"] for row in rows} == set(job["passkey_cases"])
    assert all(row["found"] == row["answer"].startswith(row["key"]) for row in rows)
