"""LaTeX after a kill, and two at once."""

import fcntl
import os
import signal
import threading
from pathlib import Path

import pytest

from dynatree import DynatreeError
from dynatree.analysis.latexmk import compile_latex
from tests.support.repository_copy import NEEDS_LATEX

SOURCE = r"\documentclass{article}\begin{document}\section{A}\label{a}\ref{a}\cite{x}\bibliography{x}\end{document}"
# A LaTeX that is killed while it writes the files for its next run.
KILLED = """#!/bin/sh
printf '\\\\relax\\n\\\\newlabel{{a' >paper.aux
printf '\\\\begin{{thebibl' >paper.bbl
printf 'half' >paper.pdf
printf '# Fdb version 4\\n["pdflatex"] 17' >paper.fdb_latexmk
kill -s {signal} $$
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "x.bib").write_text("@misc{x, title={T}, author={A}, year={2000}}\n")
    folder = tmp_path / "paper"
    folder.mkdir()
    (folder / "paper.tex").write_text(SOURCE.replace(r"\bibl", r"\bibliographystyle{plain}\bibl"))
    return folder


@NEEDS_LATEX
@pytest.mark.parametrize(
    ("number", "program"),
    [(signal.SIGKILL, "latexmk"), (signal.SIGTERM, "latexmk"), (signal.SIGINT, "pdflatex")],
)
def test_the_remains_of_a_killed_latex_do_no_harm(folder, tmp_path, monkeypatch, number, program):
    killer = tmp_path / "bin" / program
    killer.parent.mkdir()
    killer.write_text(KILLED.format(signal=number.name.removeprefix("SIG")))
    killer.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{killer.parent}{os.pathsep}{os.environ['PATH']}")
        with pytest.raises(DynatreeError, match="latexmk ended with status"):
            compile_latex(folder, "paper", tmp_path / "x.bib")
    assert (folder / "paper.aux").read_text().endswith("{a"), "the kill must leave remains, or this test shows nothing"
    assert compile_latex(folder, "paper", tmp_path / "x.bib").read_bytes().startswith(b"%PDF")


def test_a_latex_that_outlives_its_parent_keeps_the_folder(folder, tmp_path, monkeypatch):
    """The program that stands for LaTeX leaves a process behind, which holds the lock until it ends."""
    program = tmp_path / "bin/latexmk"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nsleep 60 >/dev/null 2>&1 & echo $! >left\ntouch paper.pdf\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    compile_latex(folder, "paper", tmp_path / "x.bib")
    second = threading.Thread(target=compile_latex, args=(folder, "paper", tmp_path / "x.bib"), daemon=True)
    second.start()
    left = int((folder / "left").read_text())
    second.join(timeout=0.3)
    assert second.is_alive(), "two LaTeX processes would write the same files"
    os.kill(left, signal.SIGKILL)
    second.join(timeout=30)
    assert not second.is_alive()
    os.kill(int((folder / "left").read_text()), signal.SIGKILL)
    with (folder / ".paper.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
