"""Render the LaTeX source of the paper from its templates and the results of a run."""

import argparse
import json
from pathlib import Path

from dynatree.analysis.paper import TEMPLATES, by_name, render
from dynatree.analysis.printed_numbers import as_csv
from dynatree.utils.files import write_text
from dynatree.utils.paths import repository_path
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--config", type=json.loads, required=True, help="the configuration, as JSON")
parser.add_argument("--input", type=Path, nargs="+", required=True, help="result files, and published numbers")
parser.add_argument("--claims", type=Path, required=True, help="file of the claims, with the margins of the verdicts")
parser.add_argument("--results", type=Path, required=True, help="folder of the run, which holds the tables")
parser.add_argument("--figures", type=Path, required=True, help="folder of the figures")
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--numbers", type=Path, required=True, help="CSV for the numbers in the text and their sources")
options = parser.parse_args()


def main() -> None:
    folders = {"tables": options.results / "tables", "figures": options.figures}
    files = by_name(options.input, options.results)
    text, printed = render(options.config, files, folders, options.output.parent, options.claims)
    write_text(options.output, text)
    write_text(options.numbers, as_csv(printed))


run(
    main,
    reads=[*sorted(repository_path(TEMPLATES).glob("*.j2")), *options.input, options.claims],
    writes=[options.output, options.numbers],
    arguments=options,
)
