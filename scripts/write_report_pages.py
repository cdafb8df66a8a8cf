"""Write the first page of the HTML report, and the page of one drafted round."""

import argparse
from pathlib import Path

import pandas as pd

from dynatree.analysis.report_pages import report_text, round_page
from dynatree.utils.files import read_json, write_text
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--claims", type=Path, required=True, help="CSV")
parser.add_argument("--headline", type=Path, required=True, help="PNG")
parser.add_argument("--tree", type=Path, required=True, help="JSON")
parser.add_argument("--text-template", type=Path, required=True, help="reStructuredText")
parser.add_argument("--round-template", type=Path, required=True, help="HTML")
parser.add_argument("--text", type=Path, required=True, help="output: reStructuredText")
parser.add_argument("--round", type=Path, required=True, help="output: HTML")
options = parser.parse_args()


def main() -> None:
    verdicts = pd.read_csv(options.claims)["verdict"].to_list()
    text = report_text(options.text_template.read_text(encoding="utf-8"), options.headline.read_bytes(), verdicts)
    write_text(options.text, text)
    drafted = read_json(options.tree, "delete it and run the pipeline again")
    page = round_page(options.round_template.read_text(encoding="utf-8"), drafted)
    write_text(options.round, page)


run(
    main,
    reads=[options.claims, options.headline, options.tree, options.text_template, options.round_template],
    writes=[options.text, options.round],
    arguments=options,
)
