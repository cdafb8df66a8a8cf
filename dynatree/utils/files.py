"""Atomic writes, hashes and manifests of files."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dynatree.errors import DynatreeError
from dynatree.utils.locks import file_lock

DISK_FULL = {errno.ENOSPC, errno.EDQUOT}  # error numbers of a full disk and of an exhausted quota
MANIFEST = "MANIFEST.sha256"


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a stream that replaces a file at the end of the block, so the file is either the old or the new one.

    Raises:
        OSError: the disk is full or the folder is not writable. The error names ``path``.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(partial, 0o644)
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise
    except OSError as error:
        error.filename = str(path)
        raise


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically; see :func:`atomic_file`."""
    with atomic_file(path) as stream:
        stream.write(content)


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, atomically; see :func:`atomic_file`."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value) -> None:
    """Write ``value`` as JSON, atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: str | Path, remedy: str):
    """Return the content of a JSON file.

    Raises:
        DynatreeError: the file is missing or damaged. The message ends in ``remedy``.
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError as error:
        raise DynatreeError(f"{path} is missing; {remedy}") from error
    except (OSError, ValueError) as error:
        raise DynatreeError(f"{path} is damaged ({error}); {remedy}") from error


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces ``path`` if the block succeeds and is removed if it fails.

    A lock admits one process at a time, and each removes the remains of a killed predecessor.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    with file_lock(path.with_name(f".{path.name}.lock"), True, f"another process that makes {path}"):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            shutil.rmtree(path, ignore_errors=True)
            partial.rename(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def manifest_of(folder: Path) -> str:
    """Return the hashes of all files of a folder in the format of sha256sum."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return "".join(f"{sha256(p)}  {p.relative_to(folder).as_posix()}\n" for p in files)


def write_manifest(folder: Path) -> None:
    """Write the hashes of all files of a folder to its MANIFEST.sha256."""
    write_text(folder / MANIFEST, manifest_of(folder))


def read_manifest(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file name in a folder's manifest."""
    lines = (folder / MANIFEST).read_text().splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines if line)}


def check_folder(folder: Path) -> None:
    """Raise unless every file of a fetched folder has the hash of its manifest. Skip a folder without a manifest.

    A damaged folder loses its manifest, so the next run of the pipeline fetches the folder again.

    Raises:
        DynatreeError: a file is missing or has changed.
    """
    if not (folder / MANIFEST).exists():
        return
    for name, expected in read_manifest(folder).items():
        if not (folder / name).is_file() or sha256(folder / name) != expected:
            (folder / MANIFEST).unlink()
            raise DynatreeError(f"{folder / name} is damaged or missing; run the pipeline again to fetch it")
