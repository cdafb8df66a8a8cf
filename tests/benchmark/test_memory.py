"""Peaks of memory against sizes known beforehand."""

import pytest
import torch

from dynatree import ModelPair
from dynatree.benchmark.memory import LiveTensors, measure_memory
from dynatree.config.jobs import Case
from dynatree.models.kernels.backend import use_small_batches
from dynatree.utils.units import MIB
from tests.support.models import disturbed, tiny_model

PROMPT = list(range(4, 24))


@pytest.fixture(scope="module")
def pair():
    target = tiny_model()
    return ModelPair(target, disturbed(target))


def case(engine: str, method: str, **options) -> Case:
    return Case(engine, method, options)


def test_live_tensors_count_each_storage_once_until_it_dies():
    with LiveTensors({7}, torch.device("cpu")) as live:
        first = torch.zeros(1000)
        view = first.view(10, 100)
        second = torch.ones(2000)
        view += 1
        del second
        logits = torch.zeros(3, 7)
    assert live.peak == 3000 * 4
    assert live.now == {"other": 4000, "logits": logits.numel() * 4}
    assert live.largest_logits == 84
    del first, view
    assert live.now["other"] == 0


def test_tensors_on_other_devices_do_not_count():
    with LiveTensors({7}, torch.device("cuda")) as live:
        torch.zeros(1000)
    assert live.peak == 0


def weights(model) -> float:
    return sum(parameter.numel() * 4 for parameter in model.parameters()) / MIB


def test_parts_add_up_to_the_peak_and_have_the_sizes_they_must(pair):
    config = pair.target.config
    rows = len(PROMPT) + 16 + 6 + 1
    cache = 2 * config.num_hidden_layers * config.num_key_value_heads * rows * config.head_dim * 4 / MIB
    found = measure_memory(pair, PROMPT, case("dynatree", "fixed_tree", depth=3, branch=2, node_budget=6), 16)
    assert found["weights_target_mib"] == pytest.approx(weights(pair.target))
    assert found["weights_draft_mib"] == pytest.approx(weights(pair.draft))
    assert found["cache_target_mib"] == pytest.approx(cache) == found["cache_draft_mib"]
    parts = ("weights_target", "weights_draft", "cache_target", "cache_draft", "logits", "other")
    assert sum(found[f"{part}_mib"] for part in parts) == pytest.approx(found["peak_mib"])
    assert found["largest_logits_mib"] >= 7 * config.vocab_size * 4 / MIB


def test_weights_of_our_kernels_count():
    def peak(backend):
        target = tiny_model()
        models = [target, disturbed(target)]
        pair = ModelPair(*(map(use_small_batches, models) if backend == "small_batch" else models))
        return measure_memory(pair, PROMPT, case("dynatree", "chain", length=3), 8)

    stock, ours = peak("stock"), peak("small_batch")
    for part in ("weights_target_mib", "weights_draft_mib"):
        assert ours[part] >= 0.99 * stock[part] > 0
    assert ours["cache_target_mib"] == stock["cache_target_mib"]


def test_a_case_without_draft_needs_no_draft(pair):
    for one in (case("dynatree", "autoregressive"), case("huggingface", "generate")):
        found = measure_memory(pair, PROMPT, one, 8)
        assert found["weights_draft_mib"] == found["cache_draft_mib"] == 0
        assert found["cache_target_mib"] > 0
    assisted = measure_memory(pair, PROMPT, case("huggingface", "assisted"), 8)
    assert assisted["weights_draft_mib"] > 0 < assisted["cache_draft_mib"]
    assert assisted["peak_mib"] > found["peak_mib"]
