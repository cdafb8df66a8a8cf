"""The machine, software and code a measurement came from."""

import os
import platform
from importlib.metadata import version

import torch

from dynatree.utils.host import allocation, checkout, cpu_clock, describe_host

LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")


def environment(device: torch.device) -> dict:
    """Return the machine, the device, the threads and the versions of libraries, as a JSON value."""
    return {
        **checkout(),
        **describe_host(),
        **allocation(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }


def clock(device: torch.device | None = None) -> float | None:
    """Return the current clock in MHz: of a GPU's multiprocessors, or the mean over the CPU's cores.

    Returns:
        None if the system does not report it or, for a GPU, ``nvidia-ml-py`` is not installed.
    """
    if device is None or device.type != "cuda":
        return cpu_clock()
    try:
        return float(torch.cuda.clock_rate(device))
    except (ImportError, RuntimeError):
        return None
