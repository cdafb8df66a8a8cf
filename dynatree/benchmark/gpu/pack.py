"""What a machine without a network needs for the proof, in parts that are small enough to be carried.

``common/`` holds the prompts as ids with the tokens expected in float32 on a CPU, the tokenizer, the commit and the
wheel that reads GGUF. ``part1/``, ``part2/`` and so on hold pieces of the target's GGUF file.
"""

import shutil
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.utils.files import sha256, write_text

PIECE = 33 * 10**6  # bytes; with the tracked files, a transfer stays below 64 MiB
HASH = "gguf.sha256"


def split(source: Path, folder: Path, piece: int = PIECE) -> list[Path]:
    """Split a file into pieces, one in each of the folders ``part1``, ``part2`` and so on.

    Args:
        source: the file.
        folder: receives the folders, and ``common`` the hash of the file.
        piece: bytes of each piece but the last.

    Returns:
        The pieces in order.
    """
    pieces: list[Path] = []
    with source.open("rb") as file:
        while content := file.read(piece):
            path = folder / f"part{len(pieces) + 1}" / f"{source.name}.{len(pieces) + 1}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            pieces.append(path)
    (folder / "common").mkdir(exist_ok=True)
    write_text(folder / "common" / HASH, f"{sha256(source)}  {source.name}\n")
    return pieces


def join(folder: Path, destination: Path) -> Path:
    """Join the pieces that :func:`split` made.

    Args:
        folder: see :func:`split`.
        destination: folder of the file.

    Raises:
        DynatreeError: a piece is missing or damaged.
    """
    expected, name = (folder / "common" / HASH).read_text().split()
    destination.mkdir(parents=True, exist_ok=True)
    path = destination / name
    with path.open("wb") as file:
        for piece in sorted(folder.glob(f"part*/{name}.*"), key=lambda one: int(one.suffix[1:])):
            with piece.open("rb") as part:
                shutil.copyfileobj(part, file)
    if sha256(path) != expected:
        raise DynatreeError(f"the pieces of {name} in {folder} are incomplete or damaged; run make gpu-pack again")
    return path
