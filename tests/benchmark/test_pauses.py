"""A timing into which a pause falls is repeated."""

import os
import signal
import subprocess

import pytest

from dynatree.benchmark import pauses
from dynatree.benchmark.pauses import suspended, without_pause


@pytest.fixture
def work():
    """A function that counts its calls and does something else in each of the first ones."""

    def make(*actions):
        calls = []

        def work():
            calls.append(len(calls))
            if len(calls) <= len(actions):
                actions[len(calls) - 1]()
            return len(calls)

        return work

    return make


def stop() -> None:
    """Stop this process for a moment, as Ctrl-Z and fg do."""
    waker = subprocess.Popen(["sh", "-c", f"sleep 0.05; kill -CONT {os.getpid()}"])
    os.kill(os.getpid(), signal.SIGSTOP)
    waker.wait()


def test_a_call_without_a_pause_is_made_once(work):
    before = signal.getsignal(signal.SIGCONT)
    assert without_pause(work()) == 1
    assert signal.getsignal(signal.SIGCONT) == before


def test_a_stopped_process_repeats_the_call(work, capsys):
    assert without_pause(work(stop)) == 2
    assert capsys.readouterr().err == "a pause fell into a request, which is measured again\n"


def test_a_machine_that_slept_repeats_the_call(work, monkeypatch):
    slept = [0.0]
    monkeypatch.setattr(pauses, "suspended", lambda: slept[0])

    def sleep():
        slept[0] += 3600

    assert without_pause(work(sleep, sleep)) == 3


def test_a_machine_that_is_awake_is_not_suspended():
    before = suspended()
    assert abs(suspended() - before) < pauses.SUSPENDED
