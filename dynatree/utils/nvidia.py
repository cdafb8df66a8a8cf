"""Properties of a GPU as its driver reports them. Imports no torch."""

import subprocess

PROPERTIES = ("driver_version", "memory.total", "power.limit", "clocks.max.sm")


def query(fields: tuple[str, ...], device: str) -> list[str] | None:
    """Return properties of a GPU from ``nvidia-smi``.

    Args:
        fields: names as in ``nvidia-smi --help-query-gpu``.
        device: UUID or index of the GPU.

    Returns:
        One text per field; None without the program or if it fails.
    """
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits", "-i", device]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    values = [value.strip() for value in done.stdout.strip().split(",")]
    return values if len(values) == len(fields) else None
