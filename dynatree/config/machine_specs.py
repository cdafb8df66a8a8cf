"""Machines that runs are projected to, as ``config/machines.yaml`` describes them. Without torch."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from dynatree.errors import DynatreeError

FILE = "config/machines.yaml"
ROOFLINE = ("label", "bandwidth", "compute", "source")
MEASURED = ("label", "latency")
ASSUMPTIONS = ("efficiency", "launch_seconds", "bytes_per_weight")


@dataclass(frozen=True)
class MachineSpec:
    """What a roofline needs to know of an accelerator.

    Attributes:
        bandwidth: bytes per second of its memory.
        compute: floating-point operations per second in the format of the weights.
        efficiency: share of both that forward passes reach.
        launch_seconds: what starting one operation takes.
    """

    bandwidth: float
    compute: float
    efficiency: float
    launch_seconds: float


def load_machines(path: Path, names: list[str]) -> tuple[dict[str, dict], dict[str, float]]:
    """The machines of these names, and what is assumed of all rooflines.

    Returns:
        name -> "label" and either "bandwidth", "compute" and "source", or "latency", a file; and "efficiency",
        "launch_seconds" and "bytes_per_weight".

    Raises:
        DynatreeError: a name is unknown, or an entry lacks a key or has one too many.
    """
    try:
        content = yaml.safe_load(path.read_text())
        known, assumptions = content["machines"], content["assumptions"]
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise DynatreeError(f"{path} holds no machines and assumptions ({error!r}); restore it from git") from error
    _check(f"{path}: assumptions", assumptions, (ASSUMPTIONS,))
    for name in names:
        if name not in known:
            raise DynatreeError(
                f"config: projection/machines names {name!r}; {path} describes {', '.join(known)}, so add it there"
            )
        _check(f"{path}: machines/{name}", known[name], (ROOFLINE, MEASURED))
    return {name: known[name] for name in names}, assumptions


def _check(place: str, entry: dict, choices: tuple[tuple[str, ...], ...]) -> None:
    if not isinstance(entry, dict) or set(entry) not in map(set, choices):
        needed = " or ".join(", ".join(choice) for choice in choices)
        raise DynatreeError(f"{place} must have exactly {needed}")
    for key in ("bandwidth", "compute", *ASSUMPTIONS):
        value = entry.get(key, 1)
        if not isinstance(value, int | float) or not value > 0:
            raise DynatreeError(f"{place}/{key} must be a positive number, not {value!r}")
