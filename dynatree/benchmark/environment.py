"""The machine, software and code a measurement came from."""

import os
import platform
from importlib.metadata import version

import torch

from dynatree.models.cuda_settings import gpu_uuid, settings
from dynatree.utils.host import allocation, checkout, cpu_clock, describe_host
from dynatree.utils.nvidia import PROPERTIES, query

LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")


def environment(device: torch.device) -> dict:
    """Return the machine, the device, the threads and the versions of libraries, as a JSON value."""
    return {
        **checkout(),
        **describe_host(),
        **allocation(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        **({"gpu": describe_gpu(device)} if device.type == "cuda" else {}),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }


def describe_gpu(device: torch.device) -> dict:
    """Return the driver, memory (MiB), power limit (W) and settings of a GPU; None for what is unknown."""
    values = query(PROPERTIES, gpu_uuid(device)) or [None] * len(PROPERTIES)
    return dict(zip(PROPERTIES, values, strict=True)) | (settings(device) or {})


def clock(device: torch.device | None = None) -> float | None:
    """Return the current clock in MHz: of a GPU's multiprocessors, or the mean over the CPU's cores.

    Returns:
        None if the system does not report it or, for a GPU, ``nvidia-smi`` is missing.
    """
    if device is None or device.type != "cuda":
        return cpu_clock()
    values = query(("clocks.sm",), gpu_uuid(device))
    return float(values[0]) if values and values[0].replace(".", "", 1).isdigit() else None
