"""Output on terminals and pipes."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress

CLOSED_PIPE = 141  # exit status of a program that SIGPIPE ends


def print_all(work: Callable[[], int]) -> int:
    """Call a function that prints on stdout, in any encoding and into a pipe that its reader may close.

    Characters that the encoding lacks become question marks.

    Args:
        work: prints and returns an exit status.

    Returns:
        The exit status: that of ``work``, or 141 if the reader closed the pipe.

    Raises:
        OSError: the disk of stdout is full.
    """
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # stdout may be closed, or an object of the caller
    if reconfigure:
        reconfigure(errors="replace")
    try:
        status = work()
        print(end="", flush=True)
    except BrokenPipeError:
        with suppress(AttributeError, OSError, ValueError):  # stdout is closed or no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    return status
