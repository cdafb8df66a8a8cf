"""Draw one figure of the paper, as PDF and as PNG."""

import argparse
import json
from importlib import import_module
from pathlib import Path

from dynatree.analysis.figures.style import save
from dynatree.analysis.labels import read_input
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("name", help="a module of dynatree.analysis.figures")
parser.add_argument("--input", type=Path, nargs="*", default=[], help="CSV or JSON files")
parser.add_argument("--labels", type=json.loads, default={}, help="JSON: labels of the cases and data sets, by file")
parser.add_argument("--pdf", type=Path, required=True)
parser.add_argument("--png", type=Path, required=True)
options = parser.parse_args()
module = import_module(f"dynatree.analysis.figures.{options.name}")


def main() -> None:
    figure = module.figure(*(read_input(path, options.labels) for path in options.input))
    save(figure, options.pdf)
    save(figure, options.png)


run(main, reads=options.input, writes=[options.pdf, options.png], arguments=options, code=[module.__file__])
