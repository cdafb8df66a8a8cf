"""Output on terminals and pipes."""

import os
import sys
from contextlib import suppress


def tolerate_encoding() -> None:
    """Print a question mark in place of each character that the terminal's encoding lacks."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # stdout may be closed, or an object of the caller
    if reconfigure:
        reconfigure(errors="replace")


def discard_output() -> None:
    """Discard what is still buffered for stdout, whose reader has gone."""
    with suppress(AttributeError, OSError, ValueError):  # stdout is closed or no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
