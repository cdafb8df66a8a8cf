"""The description of the machine."""

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


def test_the_clock_of_a_gpu_is_none_without_a_library(monkeypatch):
    monkeypatch.setattr(torch.cuda, "clock_rate", lambda device: 1755)
    assert clock(CUDA) == 1755.0

    def missing(device):
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")

    monkeypatch.setattr(torch.cuda, "clock_rate", missing)
    assert clock(CUDA) is None


def test_a_batch_job_is_named(monkeypatch):
    for name in host.ALLOCATION:
        monkeypatch.delenv(name, raising=False)
    assert not set(host.ALLOCATION) & set(environment(torch.device("cpu")))
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert environment(torch.device("cpu"))["SLURM_JOB_ID"] == "17"
