"""What the system reports about a request: CPU time, context switches, pressure and steal."""

import os
import resource
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")
STATISTICS = Path("/proc/stat")
STEAL_FIELD = 8  # of the line "cpu" of /proc/stat

Reading = dict[str, float | None]


def read_host() -> Reading:
    """Return running totals since the start of this process or machine.

    Returns:
        "cpu": CPU seconds of this process; "switches": its involuntary context switches; "pressure": seconds in which
        some process waited for a core; "steal": core seconds that the hypervisor gave to other machines. The last two
        are None where the system does not report them.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu": usage.ru_utime + usage.ru_stime,
        "switches": float(usage.ru_nivcsw),
        "pressure": _pressure(),
        "steal": _steal(),
    }


def since(before: Reading) -> Reading:
    """Return the differences between the present totals and earlier ones."""
    after = read_host()
    return {name: _difference(after[name], value) for name, value in before.items()}


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else round(after - before, 6)


def _pressure() -> float | None:
    try:
        fields = PRESSURE.read_text().split()
        return next(int(field[6:]) for field in fields if field.startswith("total=")) / 1e6
    except (OSError, ValueError, StopIteration):
        return None


def _steal() -> float | None:
    try:
        return int(STATISTICS.read_text().split(maxsplit=STEAL_FIELD + 1)[STEAL_FIELD]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
