"""A finished run as one file: equal runs give equal bytes, and unpacking does not trust the author of an archive.

An archive holds ``archive.json`` (configuration, commit, code fingerprints, versions) and the files of a run under the
paths they have in the repository: raw measurements, prompts, notes on where files come from, the artefacts and the
rules. ``ro-crate-metadata.json`` makes it a Workflow Run RO-Crate.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, cast

from dynatree.errors import DynatreeError
from dynatree.provenance.crate import CRATE, Member, crate
from dynatree.provenance.fingerprint import code_hash, entry_points
from dynatree.provenance.notes import note_path
from dynatree.utils.files import atomic_file, read_json, sha256
from dynatree.utils.host import checkout

ABOUT = "archive.json"
RAW = (
    "results/{run}/records/*",
    "results/{run}/journals/*",
    "results/{run}/prompts/*",
    "results/{run}/tree.json",
    "results/{run}/latency.csv",
    "results/{run}/heads.json",
    "results/{run}/heads.csv",
    "results/{run}/compression/*",
    "results/{run}/arena/*",
)
ARTEFACTS = (
    "results/{run}/requests/*",
    "results/{run}/summary/*",
    "results/{run}/bounds/*",
    "results/{run}/tuned.json",
    "results/{run}/tables/*",
    "results/{run}/claims.*",
    "results/{run}/environment.html",
    "results/{run}/report.rst",
    "results/{run}/round.html",
    "figures/{run}/*",
    "paper/{run}/dynatree.tex",
    "paper/{run}/dynatree.pdf",
)
WORKFLOW = ("Snakefile", "workflow/rules/*.smk")
LIBRARIES = ("jinja2", "matplotlib", "numpy", "pandas", "scipy")  # the bytes of artefacts depend on these
SIZE_LIMIT = 8 * 1024**3  # bytes of all files; a run is smaller
REMEDY = "ask for another copy of it"


def describe(config: dict) -> dict:
    """Return the configuration of a run, and the code and the programs that made its artefacts."""
    return {
        "config": {key: value for key, value in config.items() if key != "measured"},
        **checkout(),
        "code": {name: code_hash(*starts) for name, starts in entry_points().items()},
        "versions": {"python": platform.python_version(), "LaTeX": _latex()}
        | {name: version(name) for name in LIBRARIES},
    }


def pack(folder: Path, config: dict, output: Path) -> None:
    """Write the archive of a finished run. Equal files give equal bytes.

    Args:
        folder: The repository that holds the run.
        config: The configuration of the run.
        output: A .tar.gz file.

    Raises:
        DynatreeError: The run has no measurements or no artefacts.
    """
    run = config["run"]
    raw, artefacts = files_of(folder, run, RAW), files_of(folder, run, ARTEFACTS)
    if not raw or not artefacts:
        raise DynatreeError(f"run {run} is not finished in {folder}; run the pipeline before you archive it")
    notes = [note for name in raw + artefacts if (note := note_path(Path(name))) and (folder / note).is_file()]
    names = sorted([*raw, *artefacts, *(note.as_posix() for note in notes), *files_of(folder, run, WORKFLOW)])
    about = describe(config)
    text = json.dumps(about, indent=1).encode()
    members = [Member(name, (folder / name).stat().st_size, sha256(folder / name)) for name in names]
    members.append(Member(ABOUT, len(text), hashlib.sha256(text).hexdigest()))
    read = [read_json(folder / note, "run the pipeline again") for note in notes]
    described = json.dumps(crate(run, about, ABOUT, members, read), indent=1).encode()
    with (
        atomic_file(output) as stream,
        gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        _add(tar, ABOUT, text)
        _add(tar, CRATE, described)
        for name in names:
            _add(tar, name, (folder / name).read_bytes())


def unpack(archive: Path, folder: Path) -> dict:
    """Extract an archive into an empty folder and return its :func:`describe`.

    Args:
        archive: A file from :func:`pack`.
        folder: The folder for its files.

    Returns:
        The configuration of the run, and the code and the programs that made its artefacts.

    Raises:
        DynatreeError: The archive is damaged or too large, or a member is not a plain file of a run.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in _checked(tar, archive):
                path = folder / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as stream, cast(IO[bytes], tar.extractfile(member)) as content:
                    shutil.copyfileobj(content, stream)
                os.utime(path, (member.mtime, member.mtime))
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise DynatreeError(f"{archive} cannot be unpacked ({error}); {REMEDY}") from error
    about = read_json(folder / ABOUT, f"{archive} was not made by `make archive`")
    if not isinstance(about, dict) or not isinstance(about.get("config"), dict):
        raise DynatreeError(f"{archive}: {ABOUT} holds no configuration; {REMEDY}")
    return about


def files_of(folder: Path, run: str, patterns: tuple[str, ...]) -> list[str]:
    """Return the sorted paths below ``folder`` of the files of a run that match the patterns, without hidden files."""
    found = (path for pattern in patterns for path in folder.glob(pattern.format(run=run)))
    return sorted(p.relative_to(folder).as_posix() for p in found if p.is_file() and not p.name.startswith("."))


def _checked(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """Yield each member after a check of its kind, its name and the size of all members so far."""
    seen: set[str] = set()
    total = 0
    for member in tar:
        total += member.size
        if not member.isreg() or member.issparse():
            raise DynatreeError(f"{archive}: {member.name!r} is not a plain file; {REMEDY}")
        if not _harmless(member.name) or member.name in seen:
            raise DynatreeError(
                f"{archive}: {member.name!r} is not the name of a run's file, or is there twice; {REMEDY}"
            )
        if total > SIZE_LIMIT:
            raise DynatreeError(f"{archive} is larger than any run, at {member.name!r}; {REMEDY}")
        seen.add(member.name)
        yield member


def _harmless(name: str) -> bool:
    if name in (ABOUT, CRATE, "Snakefile"):
        return True
    known = re.fullmatch(r"(results|figures|paper|workflow/rules)(/[A-Za-z0-9._-]+)+", name)
    return bool(known) and ".." not in PurePosixPath(name).parts


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # without owner and time, for equal bytes
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))


def _latex() -> str:
    if not shutil.which("pdflatex"):
        return "missing"
    return subprocess.run(["pdflatex", "--version"], capture_output=True, text=True).stdout.partition("\n")[0]
