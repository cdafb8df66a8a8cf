"""The checkout that this package lies in, for what needs more than the package."""

from pathlib import Path

from dynatree.errors import DynatreeError

ROOT = Path(__file__).resolve().parents[2]


def repository_path(name: str) -> Path:
    """The path of a file or folder of the repository; a DynatreeError where the package is installed without it."""
    path = ROOT / name
    if not path.exists():
        raise DynatreeError(f"{path} is missing: the pipeline is not part of the installed package; use a checkout")
    return path
