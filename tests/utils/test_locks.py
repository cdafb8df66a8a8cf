"""One timing at a time, and nothing beside it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dynatree.utils.locks import file_lock

HOLD = """
import sys, time
from dynatree.utils.locks import machine_lock
with machine_lock(exclusive=sys.argv[1] == "alone"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def hold(tmp_path):
    """Start a process that holds the machine until a line comes."""
    started = []

    def start(how: str) -> subprocess.Popen:
        environment = os.environ | {"TMPDIR": str(tmp_path)}
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(subprocess.Popen([sys.executable, "-c", HOLD, how], env=environment, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("first", "second"), [("alone", "alone"), ("alone", "shared"), ("shared", "alone")])
@pytest.mark.parametrize("end", ["a line", "SIGKILL"])
def test_a_timing_waits_for_all_others_and_all_others_for_it(hold, first, second, end):
    holder = hold(first)
    assert holder.stdout.readline() == "held\n"
    waiting = hold(second)
    assert waiting.stderr.readline().startswith("waiting for ")
    if end == "SIGKILL":
        holder.send_signal(signal.SIGKILL)
    else:
        holder.stdin.write("\n")
        holder.stdin.flush()
    assert waiting.stdout.readline() == "held\n"


def test_other_work_shares_the_machine(hold):
    for _ in range(2):
        assert hold("shared").stdout.readline() == "held\n"


def test_a_lock_is_free_again_after_an_error(tmp_path):
    path: Path = tmp_path / "folder/lock"
    for _ in range(2):
        with pytest.raises(ValueError, match="inside"), file_lock(path, exclusive=True, holder="nobody"):
            raise ValueError("inside")
    began = time.monotonic()
    with file_lock(path, exclusive=True, holder="nobody"):
        assert time.monotonic() - began < 5
