"""LaTeX that wants to run commands."""

import shutil
from pathlib import Path

import pytest

from dynatree.analysis.latex import SPECIAL, escape
from dynatree.analysis.latexmk import compile_latex

NEEDS_LATEX = pytest.mark.skipif(not shutil.which("latexmk"), reason="latexmk is missing; `make latex` installs it")


def source(folder: Path, body: str) -> Path:
    bibliography = folder.parent / "empty.bib"
    bibliography.touch()
    preamble = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{textcomp}\begin{document}"
    (folder / "paper.tex").write_text(f"{preamble}\nx {body}\n\\end{{document}}\n")
    return bibliography


@NEEDS_LATEX
def test_latex_runs_no_commands(tmp_path, monkeypatch):
    folder = tmp_path / "paper"
    folder.mkdir()
    bibliography = source(folder, r"\immediate\write18{touch pwned}")
    (folder / ".latexmkrc").write_text("system('touch pwned');\n$pdflatex = 'pdflatex -shell-escape %O %S';\n")
    monkeypatch.setenv("shell_escape", "t")  # what TeX's own configuration may say
    assert compile_latex(folder, "paper", bibliography).exists()
    assert not (folder / "pwned").exists()


@pytest.mark.parametrize("text", [r"\input{/etc/passwd}", r"\write18{id}", "^^5cinput", "a\nb", "%", "}{", "$x^"])
def test_escaped_text_holds_no_command(text):
    escaped = escape(text)
    for replacement in sorted(SPECIAL.values(), key=len, reverse=True):
        escaped = escaped.replace(replacement, "")
    assert not set(escaped) & (set(SPECIAL) - {" "})
