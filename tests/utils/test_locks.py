"""One timing at a time, and nothing beside it."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from dynatree.utils import locks
from dynatree.utils.locks import file_lock, machine_lock

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


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become other users")


def as_user(user: int, work) -> str:
    """Run a function as another user in a process of its own and return the error that it raises, or ""."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setgid(user)
        os.setuid(user)
        try:
            work()
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        return pipe.read()


@pytest.fixture
def shared(monkeypatch) -> Path:
    """A temporary folder for all users, as /tmp is."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def hold_machine() -> None:
    os.umask(0o077)
    for exclusive in (False, True):
        with machine_lock(exclusive):
            pass


@AS_ROOT
def test_several_users_hold_the_lock_of_a_machine(shared):
    assert [as_user(user, hold_machine) for user in (54321, 54322, 54321)] == ["", "", ""]
    assert stat.S_IMODE((shared / "dynatree-machine.lock").stat().st_mode) == 0o666


@AS_ROOT
def test_the_lock_of_an_older_version_is_shared_too(shared):
    lock = shared / "dynatree-machine.lock"
    lock.touch()
    lock.chmod(0o644)
    assert as_user(54321, hold_machine) == ""


@AS_ROOT
def test_a_lock_that_nobody_else_may_read_names_its_owner(shared, monkeypatch):
    monkeypatch.setattr(locks, "PAUSE", 0.0)
    lock = shared / "dynatree-machine.lock"
    lock.touch()
    lock.chmod(0o600)
    os.chown(lock, 54322, 54322)
    error = as_user(54321, hold_machine)
    assert error.startswith(f"DynatreeError: the lock file {lock} belongs to user 54322 and cannot be opened; ask them")


def test_a_child_that_inherits_the_descriptor_holds_the_lock(tmp_path):
    path = tmp_path / "lock"
    with file_lock(path, exclusive=True, holder="nobody") as descriptor:
        child = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        child.kill()
        child.wait()
