"""Paths of the repository around the package, and of the files that the package keeps."""

import os
from pathlib import Path

from dynatree.errors import DynatreeError

ROOT = Path(__file__).resolve().parents[2]


def repository_path(name: str) -> Path:
    """Return the path of a file or folder of the repository.

    Raises:
        DynatreeError: the package is installed without its repository.
    """
    path = ROOT / name
    if not path.exists():
        raise DynatreeError(f"{path} is missing: the pipeline is not part of the installed package; use a checkout")
    return path


def cache_folder() -> Path | None:
    """Return the folder that keeps measurements and proofs on this machine; None for a user without a home folder."""
    if chosen := os.environ.get("DYNATREE_CACHE"):
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "dynatree"
    try:
        return Path.home() / ".cache/dynatree"
    except RuntimeError:  # no HOME, and a user id without an entry in passwd
        return None
