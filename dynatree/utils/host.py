"""Description of this machine and of the repository's checkout. Imports no torch."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from dynatree.utils.paths import ROOT

CPU_INFO = Path("/proc/cpuinfo")
ALLOCATION = ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES")


def checkout() -> dict:
    """Return the commit of the repository and True if files differ from it.

    The commit of a copy without history is ``$DYNATREE_COMMIT``, else "unknown".
    """
    return {
        "commit": os.environ.get("DYNATREE_COMMIT") or _git("rev-parse", "HEAD") or "unknown",
        "uncommitted_changes": bool(_git("status", "--porcelain")),
    }


def describe_host() -> dict:
    """Return name, system and processor of this machine, and the number of cores available to this process."""
    return {
        "machine": platform.node(),
        "system": f"{_distribution()}, {platform.system()} {platform.machine()}",
        "processor": next(iter(_cpu_info("model name")), None) or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def allocation() -> dict[str, str]:
    """Return the job and the devices that a batch system allocated to this process, if any."""
    return {name: os.environ[name] for name in ALLOCATION if name in os.environ}


def now() -> str:
    """Return the current time in UTC, to the second, in ISO format."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def load() -> float:
    """Return the mean number of runnable processes over the last minute."""
    return round(os.getloadavg()[0], 2)


def cpu_clock() -> float | None:
    """Return the current CPU frequency in MHz, the mean over all cores; None if the system does not report it."""
    frequencies = [float(text) for text in _cpu_info("cpu MHz")]
    return round(sum(frequencies) / len(frequencies), 1) if frequencies else None


def _cpu_info(name: str) -> list[str]:
    """Return one value per core from Linux's list."""
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name]


def _git(*arguments: str) -> str | None:
    """Return the output of a git command in the repository; None outside a checkout or without git."""
    if not (ROOT / ".git").exists():  # an installed package may lie in a checkout of something else
        return None
    try:
        done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.release()
