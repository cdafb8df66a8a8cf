"""The sections of the proof, in order, each with its file and its limit of seconds."""

import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence

from dynatree.benchmark.gpu.embedded import embedded
from dynatree.benchmark.gpu.memory import memory
from dynatree.benchmark.gpu.output import Section, Setting
from dynatree.benchmark.gpu.probe import probe
from dynatree.benchmark.gpu.shapes import passes, scripted
from dynatree.benchmark.gpu.table import table
from dynatree.utils.paths import ROOT

MEASURED: dict[str, Callable[[Section, Setting], None]] = {
    "probe": probe,
    "passes": passes,
    "scripted": scripted,
    "embedded": embedded,
    "memory": memory,
}
SECTIONS = ("probe", "tests", "passes", "scripted", "embedded", "memory", "table")


def prove(sections: Sequence[str], setting: Setting, seconds: float) -> str:
    """Run sections and return the table of all rows in the folder.

    Args:
        sections: some of ``SECTIONS``.
        setting: device, sizes and folders.
        seconds: limit of each section; a measurement that has begun is finished.

    A section that fails notes the error in a row, because the time on a GPU is needed for the others.
    """
    setting.output.mkdir(parents=True, exist_ok=True)
    for name in SECTIONS:
        if name in sections and name in MEASURED:
            _measure(name, Section(setting.output / f"{name}.jsonl", seconds), setting)
        elif name in sections and name == "tests" and setting.device.type == "cuda":
            _run_tests(setting, seconds)
    text = table(setting.output)
    (setting.output / "table.md").write_text(text)
    return text


def _measure(name: str, section: Section, setting: Setting) -> None:
    try:
        MEASURED[name](section, setting)
    except Exception as error:  # drivers, libraries and models may fail in any way
        traceback.print_exc()
        section.add(kind="error", message=f"{type(error).__name__}: {error}")


def _run_tests(setting: Setting, seconds: float) -> None:
    """Run tests/gpu; their output is a file, whose last line is the summary."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/gpu"]
    with (setting.output / "tests.txt").open("w") as file:
        try:
            subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            file.write(f"stopped after {seconds:g} seconds\n")
