"""Latency of forward passes: measured, stored and corrected."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, MixtralConfig

from dynatree import ModelPair, generate
from dynatree.latency.cost_model import CostModel
from dynatree.latency.measure import (
    FIRST_USE_WIDTHS,
    WIDTHS,
    conditions,
    load_cost_model,
    measure_at_first_use,
    measure_latency,
    time_forward,
)
from dynatree.latency.sample_text import TEXT, sample_text
from dynatree.models.runner import ModelRunner
from dynatree.models.tiny_config import tiny_config
from dynatree.models.tiny_config import tiny_model as random_model
from dynatree.utils.paths import cache_folder
from tests.support.models import tiny_model


@pytest.fixture
def latency():
    return CostModel((1, 2, 4), (10, 20), [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]])


def test_times_are_interpolated_linearly(latency):
    assert latency(1, 10) == 1.0
    assert latency(3, 10) == 2.5
    assert latency(2, 15) == 2.5
    assert latency(1, 5) == 1.0 and latency(1, 99) == 2.0


def test_wider_passes_continue_the_slope_of_the_last_points(latency):
    assert latency(8, 10) == 5.0
    assert CostModel((32, 64), (64,), [[3.0, 3.5]])(392, 64) == pytest.approx(3.5 + 0.5 * 328 / 32)
    assert CostModel((1,), (64,), [[3.0]])(9, 64) == 3.0


def test_slower_passes_of_one_width_slow_all_widths(latency):
    for _ in range(100):
        latency.observe(2, 10, 3.0)
    assert latency(2, 10) == pytest.approx(3.0, rel=0.01)
    assert latency(1, 10) == pytest.approx(1.5, rel=0.1)


def test_the_correction_of_one_width_leaves_the_others(latency):
    for _ in range(400):
        latency.observe(2, 10, 3.0)
        latency.observe(1, 10, 1.0)
    assert latency(2, 10) == pytest.approx(3.0, rel=0.05)
    assert latency(1, 10) == pytest.approx(1.0, rel=0.05)


def test_one_disturbed_pass_changes_little(latency):
    latency.observe(2, 10, 1000.0)
    assert latency(2, 10) <= 2.25


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_a_measurement_is_stored_and_repeated_if_damaged(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("DYNATREE_CACHE", str(tmp_path))
    model = tiny_model(kind, 1)
    first = load_cost_model(model)
    (path,) = (tmp_path / "latency").iterdir()
    kept = json.loads(path.read_text())
    assert kept["conditions"].pop("text")
    assert kept["conditions"] == json.loads(json.dumps(conditions(model)))
    assert set(first.widths) <= set(FIRST_USE_WIDTHS)
    assert all(row == sorted(row) and row[0] > 0 for row in first.seconds)
    assert load_cost_model(model).seconds == first.seconds
    path.write_text("damaged")
    assert load_cost_model(model).seconds
    assert json.loads(path.read_text())["seconds"]


def test_an_unwritable_cache_folder_is_ignored(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DYNATREE_CACHE", str(tmp_path / "file"))
    assert load_cost_model(tiny_model("llama", 1)).seconds


def test_a_user_without_a_home_measures_in_each_process(monkeypatch):
    for name in ("DYNATREE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert load_cost_model(tiny_model("llama", 1)).seconds


@pytest.mark.parametrize("name", ["DYNATREE_CACHE", "XDG_CACHE_HOME"])
def test_a_named_cache_folder_needs_no_home(monkeypatch, tmp_path, name):
    monkeypatch.delenv("DYNATREE_CACHE", raising=False)
    monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert cache_folder() == tmp_path / ("dynatree" if name == "XDG_CACHE_HOME" else "")


def test_contexts_and_widths_fit_the_positions_of_the_model():
    model = tiny_model("llama", 1)
    latency = measure_latency(model, repetitions=1)
    assert latency.contexts[-1] + latency.widths[-1] <= model.config.max_position_embeddings


def test_a_slow_model_is_measured_at_two_widths_at_first_use(monkeypatch, capsys):
    clock = itertools.count()
    monkeypatch.setattr("dynatree.latency.measure.time.perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(
        "dynatree.latency.measure.time_forward", lambda _, text, width, context: next(clock) and float(width)
    )
    slow = measure_at_first_use(tiny_model("llama", 1), seconds=0.5)
    assert (slow.widths, slow.seconds) == ((1, 64), [[1.0, 64.0]])
    assert "measuring forward passes, once on this machine" in capsys.readouterr().err
    quick = measure_at_first_use(tiny_model("llama", 1), seconds=1e9)
    assert quick.widths == tuple(sorted(FIRST_USE_WIDTHS))


def test_a_disturbed_measurement_finds_the_undisturbed_times(monkeypatch):
    calls = itertools.count()
    # of six rounds over all widths only every third is quiet; a stray pass over a few tokens is slower than wide ones
    monkeypatch.setattr(
        "dynatree.latency.measure.time_forward",
        lambda _, text, width, context: (
            width * (20.0 if next(calls) // len(WIDTHS) % 3 else 1.0) + 100.0 * (width == 2)
        ),
    )
    latency = measure_latency(tiny_model("llama", 1))
    assert latency.seconds[0] == [1.0, *map(float, (3, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64))]


@pytest.fixture
def mixture():
    """A model whose forward passes meet other experts for other tokens, and the experts that they meet."""
    model = random_model(tiny_config(MixtralConfig()))
    met: list[set[int]] = []
    router = model.model.layers[0].mlp.gate
    router.register_forward_hook(lambda _, inputs, out: met.append(set(out[-1].flatten().tolist())))
    return model, met


@torch.inference_mode()
def test_a_mixture_of_experts_is_timed_on_a_text_instead_of_one_token(mixture):
    model, met = mixture
    tokenizer = lambda text: {"input_ids": [4 + byte % 100 for byte in text.encode()]}  # noqa: E731
    text = sample_text(tokenizer, model.config.vocab_size)
    assert text.part(len(TEXT.encode()) - 2, 4) == [text.ids[-2], text.ids[-1], *text.ids[:2]]
    runner = ModelRunner(model, "target", 128)
    runner.forward(text.part(0, 32), range(32), last_only=True)
    met.clear()
    for width in (1, 32):
        assert time_forward(runner, text, width, 32) > 0
    assert [len(one) for one in met] == [model.config.num_experts_per_tok, model.config.num_local_experts]


def test_requests_time_the_text_of_their_tokenizer(mixture, random_pair, monkeypatch, tmp_path):
    monkeypatch.setenv("DYNATREE_CACHE", str(tmp_path))  # other tests measured this model
    model, _ = mixture
    asked = []
    monkeypatch.setattr(
        "dynatree.latency.measure.measure_at_first_use",
        lambda model, static, text: asked.append(text.ids) or CostModel((1, 64), (1,), [[1.0, 2.0]]),
    )
    tokenizer = AutoTokenizer.from_pretrained(random_pair[0])
    for known in (tokenizer, None):
        generate(ModelPair(model, None, known), [5, 9], "cost_aware", 2, None)
    assert list(asked[0]) == [token for token in tokenizer(TEXT)["input_ids"] if token < model.config.vocab_size]
    assert len(set(asked[1])) == model.config.vocab_size
