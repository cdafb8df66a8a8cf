"""Verification of an archive: rebuild its artefacts from its raw measurements and compare them byte for byte.

It needs no GPU and no models. The raw measurements and the configuration come from the archive, the rules and the code
from this repository. All files are written to a separate folder.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from dynatree.config.validation import check
from dynatree.errors import DynatreeError
from dynatree.provenance.archive import ARTEFACTS, describe, files_of, unpack
from dynatree.utils.files import sha256, write_json
from dynatree.utils.paths import ROOT

PIPELINE = (
    "Snakefile",
    "workflow/**/*",
    "config/**/*",
    "dynatree/**/*.py",
    "scripts/**/*.py",
    "paper/*",
    "envs/*",
    "results/published/*",
    "results/snapshots/gpu/*",
)


def verify(archive: Path, folder: Path, cores: int) -> tuple[list[str], list[str], int]:
    """Rebuild the artefacts of an archive and compare them.

    Args:
        archive: A file from :func:`dynatree.provenance.archive.pack`.
        folder: An empty folder for ``theirs``, the files of the archive, and ``ours``, the rebuilt ones.
        cores: The number of cores to use.

    Returns:
        One line per difference in code and programs, one line per artefact that differs, and the number of artefacts.

    Raises:
        DynatreeError: The archive is harmful or damaged, its configuration is wrong, or it cannot be rebuilt.
    """
    theirs, ours = folder / "theirs", folder / "ours"
    theirs.mkdir(parents=True)
    about = unpack(archive, theirs)
    config = about["config"]
    try:
        check(config)
    except DynatreeError as mistake:
        raise DynatreeError(f"{archive}: {mistake}") from mistake
    copy_pipeline(ours)
    rebuild(ours, config | {"measured": str((theirs / "results" / config["run"]).resolve())}, cores)
    differing, count = compare(theirs, ours, config["run"])
    return made_differently(about, describe(config)), differing, count


def copy_pipeline(folder: Path) -> None:
    """Copy the parts of this repository that rebuild artefacts, without any results."""
    for pattern in PIPELINE:
        for source in ROOT.glob(pattern):
            if source.is_file() and "__pycache__" not in source.parts:
                goal = folder / source.relative_to(ROOT)
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, goal)


def rebuild(folder: Path, config: dict, cores: int) -> None:
    """Run the pipeline in a copy of the repository, on the measurements that the configuration names."""
    write_json(folder / "archived.json", config)
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--configfile", "archived.json"]
    command += ["--workflow-profile", "workflow/profiles/default", "--quiet", "rules"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PATH": path, "PYTHONPATH": str(folder)})
    if done.returncode:
        raise DynatreeError("the artefacts cannot be rebuilt from this archive; see the messages of snakemake above")


def compare(theirs: Path, ours: Path, run: str) -> tuple[list[str], int]:
    """Return one line per artefact that is not the same on both sides, and the number of artefacts."""
    left, right = (set(files_of(folder, run, ARTEFACTS)) for folder in (theirs, ours))
    lines = []
    for name in sorted(left | right):
        if name not in right:
            lines.append(f"{name}: only in the archive")
        elif name not in left:
            lines.append(f"{name}: missing in the archive")
        elif sha256(theirs / name) != sha256(ours / name):
            lines.append(f"{name}: differs")
    return lines, len(left | right)


def made_differently(theirs: dict, ours: dict) -> list[str]:
    """Return one line per difference in commit, code and versions between an archive and this repository."""
    lines = []
    if theirs.get("commit") != ours["commit"] or theirs.get("uncommitted_changes") or ours["uncommitted_changes"]:
        lines.append(f"commit {_commit(theirs)} there, {_commit(ours)} here")
    for kind in ("code", "versions"):
        left, right = theirs.get(kind), ours[kind]
        left = left if isinstance(left, dict) else {}
        for name in sorted(left | right):
            if left.get(name) != right.get(name):
                lines.append(f"{kind} of {name}: {_shown(left.get(name))} there, {_shown(right.get(name))} here")
    return lines


def _commit(about: dict) -> str:
    changed = " with uncommitted changes" if about.get("uncommitted_changes") else ""
    return f"{_shown(about.get('commit'))}{changed}"


def _shown(value: object) -> str:
    """Return a value as one line of plain characters. An archive might hold control sequences of a terminal."""
    return "none" if value is None else json.dumps(value)[:200].strip('"')
