"""Make one table of the paper, as data and as LaTeX."""

import argparse
import json
from importlib import import_module
from pathlib import Path

from dynatree.analysis.labels import read_input
from dynatree.utils.files import write_text
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("name", help="a module of dynatree.analysis.tables")
parser.add_argument("--input", type=Path, nargs="*", default=[], help="CSV or JSON files")
parser.add_argument("--labels", type=json.loads, default={}, help="JSON: labels of the cases and data sets, by file")
parser.add_argument("--csv", type=Path, required=True)
parser.add_argument("--tex", type=Path, required=True)
options = parser.parse_args()
module = import_module(f"dynatree.analysis.tables.{options.name}")


def main() -> None:
    frame, latex = module.table(*(read_input(path, options.labels) for path in options.input))
    write_text(options.csv, frame.to_csv(index=False))
    write_text(options.tex, latex)


run(main, reads=options.input, writes=[options.csv, options.tex], arguments=options, code=[module.__file__])
