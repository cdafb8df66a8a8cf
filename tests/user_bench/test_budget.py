"""The number of prompts of a benchmark."""

import dataclasses
from contextlib import nullcontext
from unittest import mock

import pytest

from dynatree.config.jobs import DisturbanceRule
from dynatree.data.checkpoints import fetch
from dynatree.data.random_model import byte_tokenizer
from dynatree.user_bench import measure
from dynatree.user_bench.budget import BETWEEN_REQUESTS, MIN_PROMPTS, affordable_prompts
from dynatree.user_bench.measure import Bench
from dynatree.user_bench.plan import Plan

TEXTS = [byte_tokenizer()(f"text {number}").input_ids for number in range(9)]


def test_prompts_fill_the_time_with_the_warm_up():
    assert affordable_prompts(100, 4, 1, 1 - BETWEEN_REQUESTS) == 24
    assert affordable_prompts(100, 4, 2, 1 - BETWEEN_REQUESTS) == 12
    assert affordable_prompts(1, 4, 1, 60) == MIN_PROMPTS


@pytest.fixture
def plan(tmp_path):
    fetch({"kind": "random", "architecture": "llama", "seed": 1, "layers": 1}, tmp_path / "target")
    return Plan(str(tmp_path / "target"), [], ["hf_generate"], new_tokens=2, device="cpu", backend="stock")


def test_a_second_process_measures_the_prompts_of_the_first_or_more_in_more_time(plan, tmp_path):
    def prompts(seconds, minutes=2.0):
        """Return the number of measured prompts if a request takes so long."""
        bench = Bench(dataclasses.replace(plan, minutes=minutes), TEXTS, TEXTS[0], tmp_path / "out")
        with (
            mock.patch.object(measure, "time_request", return_value=seconds),
            mock.patch("dynatree.benchmark.session.quiet", nullcontext),
        ):
            run = bench.run()
        assert run.finished == run.planned
        return {record.prompt for record in run.measurements["no draft"].records}

    assert len(prompts(10.0)) == 5
    assert len(prompts(1e-3)) == 5
    assert len(prompts(10.0, minutes=1.0)) == 5
    assert len(prompts(10.0, minutes=2.5)) == 6


def test_disturbed_requests_are_measured_again_only_if_time_is_left(plan, tmp_path):
    plan = dataclasses.replace(plan, rule=DisturbanceRule(pass_ratio=1e9, ttft_ratio=1e-9, cpu_share=0.0, attempts=1))
    counts = {}
    with mock.patch("dynatree.benchmark.session.quiet", nullcontext):
        for minutes in (1e-3, 2.0):
            bench = Bench(dataclasses.replace(plan, minutes=minutes), TEXTS[:4], TEXTS[0], tmp_path / f"{minutes}")
            run = bench.run()
            assert run.finished == run.planned == 8
            counts[minutes] = len(next((tmp_path / f"{minutes}/journals").iterdir()).read_text().splitlines())
    assert counts == {1e-3: 1 + 8, 2.0: 1 + 8 + 1 + 8}
