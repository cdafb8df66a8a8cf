"""Paths of the repository around the package."""

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
