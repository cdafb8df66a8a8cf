"""What the pipeline's scripts share: one line for a mistake of the user's, no traceback."""

import sys
from collections.abc import Callable

from dynatree.errors import DynatreeError


def run(work: Callable[[], None]) -> None:
    """Run ``work``; a :class:`DynatreeError` ends the process with one line on stderr and status 2."""
    try:
        work()
    except DynatreeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
