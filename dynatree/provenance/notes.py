"""Provenance notes: each script writes a note on its origin beside every output.

The note on ``folder/name`` is ``folder/.provenance/name.json``. All outputs of a process have the same note:

* ``script``, the fingerprint of its ``code`` and its ``arguments``, which hold a part of the configuration,
* ``commit`` and ``uncommitted_changes``, ``versions`` of the libraries that the process imported,
* ``machine``, ``system``, ``processor``, ``cores``, ``threads``, ``load``, ``clock`` (MHz) and the batch job,
* ``started`` and ``finished``, UTC,
* ``inputs`` and ``outputs``: file -> SHA-256. Paths are relative to the working directory.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
import sysconfig
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.provenance.fingerprint import code_hash
from dynatree.utils.files import MANIFEST, manifest_of, sha256, write_json
from dynatree.utils.host import allocation, checkout, cpu_clock, describe_host, load, now
from dynatree.utils.paths import ROOT

FOLDER = ".provenance"


def note_path(path: Path) -> Path:
    """Return the path of the note on a file."""
    return path.parent / FOLDER / f"{path.name}.json"


def begin(
    script: Path,
    arguments: argparse.Namespace | dict | None,
    reads: Iterable[Path | None],
    code: Iterable[str | Path] = (),
) -> dict:
    """Return the part of a note that holds before the script writes.

    Args:
        script: The file that runs.
        arguments: Its arguments. Values that JSON cannot represent are recorded as text.
        reads: Its inputs. The manifest of a folder stands for the folder, and None is skipped.
        code: Files that it imports by a computed name.

    Returns:
        The fields of a note, except those that :func:`finish` adds.

    Raises:
        DynatreeError: An input is missing, or the script does not belong to the imported package.
    """
    name, *others = (_source_name(Path(path)) for path in (script, *code))
    values = vars(arguments) if isinstance(arguments, argparse.Namespace) else arguments or {}
    return {
        "script": name,
        "arguments": json.loads(json.dumps(values, default=str)),
        "code": code_hash(name, *others),
        **checkout(),
        **describe_host(),
        **allocation(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "load": load(),
        "clock": cpu_clock(),
        "started": now(),
        "inputs": hashes(reads),
    }


def finish(begun: dict, writes: Iterable[Path]) -> None:
    """Write a note beside each output, after all outputs are written.

    Args:
        begun: The fields from :func:`begin`.
        writes: The outputs.

    Raises:
        DynatreeError: An output is missing.
    """
    writes = list(writes)
    note = begun | {"finished": now(), "versions": imported_versions(), "outputs": hashes(writes)}
    for path in writes:
        write_json(note_path(path), note)


def hashes(paths: Iterable[Path | None]) -> dict[str, str]:
    """Return the SHA-256 of each file.

    Args:
        paths: Files and folders. The manifest of a folder stands for the folder, and None is skipped.

    Returns:
        Path below the working directory, or absolute path of a file elsewhere -> SHA-256.

    Raises:
        DynatreeError: A file is missing.
    """
    return dict(_hashed(Path(path)) for path in paths if path)


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of the manifest of a folder, which is computed where the folder has none."""
    return hashlib.sha256(manifest_of(path).encode()).hexdigest() if path.is_dir() else sha256(path)


def imported_versions() -> dict[str, str]:
    """Return the versions of Python and of the third-party packages that this process has imported."""
    places = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name, module in sorted(sys.modules.items()):
        if "." not in name and (getattr(module, "__file__", None) or "").startswith(places):
            found[name] = _version(name, module)
    return {name: text for name, text in found.items() if text}


def _version(name: str, module) -> str | None:
    # The distribution of a module is found only by reading the files of all distributions. Few names differ.
    try:
        return version(name)
    except PackageNotFoundError:
        return getattr(module, "__version__", None)


def _source_name(path: Path) -> str:
    path = path.resolve()
    if not path.is_relative_to(ROOT):
        raise DynatreeError(
            f"{path} would run with the package of another checkout, {ROOT}; "
            "set PYTHONPATH to the checkout that the script belongs to"
        )
    return path.relative_to(ROOT).as_posix()


def _hashed(path: Path) -> tuple[str, str]:
    if (path / MANIFEST).is_file():
        path = path / MANIFEST
    absolute, here = Path(os.path.abspath(path)), Path.cwd()
    name = absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
    if not path.exists():
        raise DynatreeError(f"{name} is missing; run the pipeline, which writes it, or give the path of another file")
    return name.as_posix(), hash_of(path)
