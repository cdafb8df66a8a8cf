"""Compile the paper, and fail on visible defects such as undefined references."""

import argparse
from pathlib import Path

from dynatree.analysis.latexmk import compile_latex
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--folder", type=Path, required=True, help="folder that holds dynatree.tex")
parser.add_argument("--bibliography", type=Path, required=True)
parser.add_argument("--included", type=Path, nargs="*", default=[], help="tables and figures that it includes")
options = parser.parse_args()

run(
    lambda: compile_latex(options.folder, "dynatree", options.bibliography),
    reads=[options.folder / "dynatree.tex", options.bibliography, *options.included],
    writes=[options.folder / "dynatree.pdf"],
    arguments=options,
)
