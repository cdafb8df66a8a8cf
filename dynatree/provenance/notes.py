"""Where a file comes from: a note beside every output, left by the script that made it.

The note on ``folder/name`` is ``folder/.provenance/name.json``. All outputs of a process carry the same note:

* ``script``, its ``code`` fingerprint and its ``arguments``, which hold the slice of the configuration it was given,
* ``commit`` and ``uncommitted_changes``, ``versions`` of the libraries that the process had imported,
* ``machine``, ``system``, ``processor``, ``cores``, ``threads``, ``load``, ``clock`` (MHz), a batch job,
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
from dynatree.provenance.fingerprint import ROOT, code_hash
from dynatree.utils.files import MANIFEST, manifest_of, sha256, write_json
from dynatree.utils.host import allocation, checkout, cpu_clock, load, machine, now

FOLDER = ".provenance"


def note_path(path: Path) -> Path:
    """Where the note on a file lies."""
    return path.parent / FOLDER / f"{path.name}.json"


def begin(script: Path, arguments: argparse.Namespace | dict | None, reads: Iterable[Path | None]) -> dict:
    """What is known before a script does its work.

    Args:
        script: the file that runs.
        arguments: what it was called with; what JSON does not know is recorded as text.
        reads: its inputs; a folder counts as its manifest, None is left out.

    Raises:
        DynatreeError: an input is missing, or the script does not belong to the imported package.
    """
    name = _script_name(script)
    values = vars(arguments) if isinstance(arguments, argparse.Namespace) else arguments or {}
    return {
        "script": name,
        "arguments": json.loads(json.dumps(values, default=str)),
        "code": code_hash(name),
        **checkout(),
        **machine(),
        **allocation(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "load": load(),
        "clock": cpu_clock(),
        "started": now(),
        "inputs": hashes(reads),
    }


def finish(begun: dict, writes: Iterable[Path]) -> None:
    """Leave a note beside each output, once all are written.

    Args:
        begun: from :func:`begin`.
        writes: the outputs.

    Raises:
        DynatreeError: an output is missing.
    """
    writes = list(writes)
    note = begun | {"finished": now(), "versions": imported_versions(), "outputs": hashes(writes)}
    for path in writes:
        write_json(note_path(path), note)


def hashes(paths: Iterable[Path | None]) -> dict[str, str]:
    """Path below the working directory, absolute if it lies elsewhere -> SHA-256.

    Raises:
        DynatreeError: a file is missing.
    """
    return dict(_hashed(Path(path)) for path in paths if path)


def hash_of(path: Path) -> str:
    """SHA-256 of a file, or of a folder's manifest, made up here where it has none."""
    return hashlib.sha256(manifest_of(path).encode()).hexdigest() if path.is_dir() else sha256(path)


def imported_versions() -> dict[str, str]:
    """Versions of Python and of the third-party packages that this process has imported."""
    places = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    found = {"python": platform.python_version()}
    for name, module in sorted(sys.modules.items()):
        if "." not in name and (getattr(module, "__file__", None) or "").startswith(places):
            found[name] = _version(name, module)
    return {name: text for name, text in found.items() if text}


def _version(name: str, module) -> str | None:
    # Looking up which distribution holds a module reads the files of all of them; few modules are named differently.
    try:
        return version(name)
    except PackageNotFoundError:
        return getattr(module, "__version__", None)


def _script_name(script: Path) -> str:
    script = script.resolve()
    if not script.is_relative_to(ROOT):
        raise DynatreeError(
            f"{script} would run with the package of another checkout, {ROOT}; "
            "set PYTHONPATH to the checkout that the script belongs to"
        )
    return script.relative_to(ROOT).as_posix()


def _hashed(path: Path) -> tuple[str, str]:
    if (path / MANIFEST).is_file():
        path = path / MANIFEST
    absolute, here = Path(os.path.abspath(path)), Path.cwd()
    name = absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
    if not path.exists():
        raise DynatreeError(f"{name} is missing; the pipeline makes it, or give the path of another file")
    return name.as_posix(), hash_of(path)
