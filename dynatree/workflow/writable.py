"""A check of the folders of a run before it starts."""

import os
from collections.abc import Iterable
from pathlib import Path

from dynatree.errors import DynatreeError


def check_writable(folders: Iterable[Path]) -> None:
    """Raise unless this user may write to every folder, or to the folder in which it will be made.

    Raises:
        DynatreeError: a folder is read-only.
    """
    for folder in folders:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not os.access(existing, os.W_OK | os.X_OK):
            raise DynatreeError(
                f"{existing} is read-only; give this user write access, or replace it by a link to a folder elsewhere: "
                "what is finished is kept"
            )
