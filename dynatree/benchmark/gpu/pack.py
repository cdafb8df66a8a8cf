"""What a machine without a network needs for the proof, in parts that are small enough to be carried.

``common/`` holds the prompts as ids with the tokens expected in float32 on a CPU, the tokenizer, the commit and the
wheel that reads GGUF. ``part1/``, ``part2/`` and so on hold pieces of the target's GGUF file.
"""

import shutil
from pathlib import Path

from dynatree.data.checkpoints import dequantize
from dynatree.errors import DynatreeError
from dynatree.utils.files import new_folder, sha256, write_text

TRANSFER = 64 * 2**20  # bytes that a transfer with the tracked files may have
PIECE = 33 * 10**6  # bytes of a piece at most
SLACK = 2**20  # bytes for names and headers
HASH = "gguf.sha256"
WEIGHTS = "weights.sha256"  # of the dequantized weights
TOKENIZER = "tokenizer.json"  # other versions of transformers write other bytes


def piece_bytes(tracked: int) -> int:
    """Return the size of pieces each of which travels together with the tracked files.

    Args:
        tracked: bytes of these files.

    Raises:
        DynatreeError: they leave no room.
    """
    room = TRANSFER - SLACK - tracked
    if room < SLACK:
        raise DynatreeError(f"the tracked files have {tracked} bytes, which leaves no room in {TRANSFER}; remove some")
    return min(PIECE, room)


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


def add_checkpoint(target: Path, folder: Path) -> None:
    """Add the tokenizer of a target, and the hash of its weights, to the folder that :func:`split` made."""
    shutil.copyfile(target / TOKENIZER, folder / "common" / TOKENIZER)
    write_text(folder / "common" / WEIGHTS, sha256(target / "model.safetensors") + "\n")


def unpack(folder: Path, target: Path) -> None:
    """Make the checkpoint of the target from its pieces.

    Args:
        folder: see :func:`split`.
        target: folder of the checkpoint, replaced.

    Raises:
        DynatreeError: a piece is missing or damaged, or the weights are not those that the expected tokens are of.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(target) as checkpoint:
        dequantize(join(folder, folder / "joined"), checkpoint)
        shutil.copyfile(folder / "common" / TOKENIZER, checkpoint / TOKENIZER)
        if sha256(checkpoint / "model.safetensors") != (folder / "common" / WEIGHTS).read_text().strip():
            raise DynatreeError(
                f"the weights dequantized from {folder} differ from those of make gpu-pack; run it again"
            )
