"""Printing on a stdout of any kind."""

import io
import os
import sys

import pytest

from dynatree.utils.terminal import CLOSED_PIPE, print_all


def show() -> int:
    print("µ 語")
    return 3


def test_characters_that_the_encoding_lacks_become_question_marks(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert print_all(show) == 3
    assert terminal.buffer.getvalue() == "µ ?\n".encode("latin-1")


def test_a_closed_pipe_is_a_status(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert print_all(show) == CLOSED_PIPE


def test_a_closed_stdout_takes_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert print_all(show) == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_a_full_disk_is_an_error(monkeypatch):
    stream = open("/dev/full", "w")  # noqa: SIM115 - it cannot be flushed when it is closed
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(OSError, match="No space left"):
        print_all(show)
    monkeypatch.undo()
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
