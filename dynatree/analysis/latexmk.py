"""Compilation of LaTeX and inspection of its log."""

import glob
import os
import re
import shutil
import subprocess
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.utils.locks import file_lock

WIDEST_EXCESS = 5.0  # points
EPOCH = "1735689600"  # date of the PDF, fixed so that equal sources give equal bytes

# No shell commands from the source, and no latexmkrc, which is a Perl program.
OPTIONS = ("-norc", "-g", "-pdf", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "-silent")


def compile_latex(folder: Path, name: str, bibliography: Path) -> Path:
    """Run latexmk in ``folder`` on ``name``.tex, from a clean state.

    The files that LaTeX writes for its next run are removed first, because a killed run leaves them cut off. A LaTeX
    process that outlives its killed parent keeps the lock of the folder.

    Raises:
        DynatreeError: latexmk is missing, compilation fails, a reference or citation is undefined, or a line is
            more than 5 pt too wide.
    """
    if not shutil.which("latexmk"):
        raise DynatreeError("latexmk is missing; `make latex` installs it, or says what to install")
    environment = os.environ | {"SOURCE_DATE_EPOCH": EPOCH, "FORCE_SOURCE_DATE": "1"}
    command = ["latexmk", *OPTIONS, f"{name}.tex"]
    with file_lock(folder / f".{name}.lock", exclusive=True, holder=f"LaTeX in {folder}") as lock:
        for path in folder.glob(f"{glob.escape(name)}.*"):
            if path.suffix != ".tex":
                path.unlink()
        shutil.copyfile(bibliography, folder / bibliography.name)
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", pass_fds=[lock]
        )
    log = (folder / f"{name}.log").read_text(errors="replace") if (folder / f"{name}.log").exists() else done.stderr
    found = complaints(log)
    if done.returncode:
        found = re.findall(r"^! .*$", log, re.MULTILINE) + found or [f"latexmk ended with status {done.returncode}"]
    if found:
        raise DynatreeError(f"{folder / name}.tex: {'; '.join(found[:5])}; see {folder / name}.log")
    return folder / f"{name}.pdf"


def complaints(log: str) -> list[str]:
    """Return the visible defects in a LaTeX log: undefined references and citations, missing glyphs, lines too wide."""
    found = re.findall(r"(?:Reference|Citation) `[^']+'[^.]*undefined", log.replace("\n", ""))
    found += re.findall(r"Missing character: .*", log)
    for excess, place in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)(.*)", log):
        if float(excess) > WIDEST_EXCESS:
            found.append(f"a line is {excess} pt too wide{place}")
    return found
