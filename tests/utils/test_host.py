"""The description of the machine."""

import os
from types import SimpleNamespace

import pytest
import torch

from dynatree.benchmark.environment import clock, environment
from dynatree.utils import host

CUDA = torch.device("cuda")
CORE = "processor\t: {}\nmodel name\t: A CPU\ncpu MHz\t\t: {}\n\n"


def test_the_clock_is_the_mean_over_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "CPU_INFO", tmp_path / "cpuinfo")
    assert clock() is None
    (tmp_path / "cpuinfo").write_text(CORE.format(0, 2000.5) + CORE.format(1, 3000.1))
    assert clock() == clock(torch.device("cpu")) == pytest.approx(2500.3)
    assert host.describe_host()["processor"] == "A CPU"


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    """A program that stands in for the driver's, and a device of torch."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\ncase $* in *clocks.sm*) echo 1755;; *) echo '570.1, 81559, 700.00, 1980';; esac\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="4f"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H100")
    return program


def test_a_gpu_is_described_by_its_driver(gpu):
    assert clock(CUDA) == 1755.0
    found = environment(CUDA)["gpu"]
    assert (found["driver_version"], found["memory.total"], found["power.limit"]) == ("570.1", "81559", "700.00")
    assert {"tf32", "cudnn_attention", "cuda"} <= set(found)
    gpu.write_text("#!/bin/sh\nexit 9\n")
    assert clock(CUDA) is None
    assert environment(CUDA)["gpu"]["driver_version"] is None


def test_a_copy_without_history_names_its_commit(monkeypatch):
    monkeypatch.setenv("DYNATREE_COMMIT", "abc")
    assert host.checkout()["commit"] == "abc"


def test_a_batch_job_is_named(monkeypatch):
    for name in host.ALLOCATION:
        monkeypatch.delenv(name, raising=False)
    assert not set(host.ALLOCATION) & set(environment(torch.device("cpu")))
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert environment(torch.device("cpu"))["SLURM_JOB_ID"] == "17"
