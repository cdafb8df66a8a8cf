"""Settings for CUDA; a CPU build of torch has the same switches."""

import pytest
import torch

from dynatree import DynatreeError, ModelPair
from dynatree.latency import measure
from dynatree.latency.measure import conditions
from dynatree.models import cuda_settings
from dynatree.models.cuda_settings import apply_settings, check_float32, driver_version, settings
from tests.support.models import tiny_model

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PRODUCTS = torch.backends.cuda.matmul


@pytest.fixture(autouse=True)
def restored():
    cudnn = torch.backends.cuda.cudnn_sdp_enabled()
    half, brain = PRODUCTS.allow_fp16_reduced_precision_reduction, PRODUCTS.allow_bf16_reduced_precision_reduction
    torch.backends.cuda.enable_cudnn_sdp(True)
    yield
    torch.backends.cuda.enable_cudnn_sdp(cudnn)
    PRODUCTS.allow_fp16_reduced_precision_reduction = half
    PRODUCTS.allow_bf16_reduced_precision_reduction = brain


def test_a_pair_on_cuda_switches_plans_for_every_length_off(monkeypatch):
    model = tiny_model()
    ModelPair(model)
    apply_settings(CPU)
    assert torch.backends.cuda.cudnn_sdp_enabled()
    monkeypatch.setattr(type(model), "device", property(lambda _: CUDA))
    ModelPair(model)
    found = settings(CUDA)
    assert found is not None and not found["cudnn_attention"]
    assert not found["fp16_reduction"] and not found["bf16_reduction"]


def test_latencies_under_other_settings_are_kept_apart(monkeypatch):
    model = tiny_model()
    assert conditions(model)["cuda"] is None
    monkeypatch.setattr(type(model), "device", property(lambda _: CUDA))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(measure, "driver_version", lambda device: "570.1")
    before = conditions(model)
    apply_settings(CUDA)
    settled = conditions(model)
    assert settled != before
    assert {"transformers", "dynatree"} <= set(before)
    monkeypatch.setattr(measure, "driver_version", lambda device: "580.2")
    assert conditions(model) != settled


def test_the_driver_is_asked_once(monkeypatch):
    asked = []
    monkeypatch.setattr(cuda_settings, "gpu_uuid", lambda device: "GPU-1")
    monkeypatch.setattr(cuda_settings, "query", lambda *given: asked.append(given) or ["570.1"])
    driver_version.cache_clear()
    assert [driver_version(one) for one in (CUDA, CUDA, CPU)] == ["570.1", "570.1", None]
    driver_version.cache_clear()
    assert asked == [(("driver_version",), "GPU-1")]


def test_float32_with_rounded_products_is_refused(monkeypatch):
    check_float32(CUDA, torch.float32)
    monkeypatch.setattr(PRODUCTS, "allow_tf32", True)
    check_float32(CPU, torch.float32)
    check_float32(CUDA, torch.float16)
    with pytest.raises(DynatreeError, match="allow_tf32 is on"):
        check_float32(CUDA, torch.float32)
