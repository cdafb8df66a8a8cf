"""Judge the claims of the original paper, and trees against chains, by the results of a run."""

import argparse
import json
from pathlib import Path

import pandas as pd

from dynatree.analysis.claims import claims_latex, describe_run, judge
from dynatree.analysis.html_report import ledger_page
from dynatree.analysis.published import load_claims, load_margins
from dynatree.analysis.shapes import shape_ledger
from dynatree.utils.files import write_text
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--claims", type=Path, required=True, help="YAML")
parser.add_argument(
    "--requests", type=Path, nargs="+", required=True, help="CSV files, each named after its experiment"
)
parser.add_argument("--summaries", type=Path, nargs="*", default=[], help="CSV files, of which only memory.csv is used")
parser.add_argument("--shapes", type=Path, required=True, help="CSV: replays of trees and chains on recorded outputs")
parser.add_argument("--run", type=json.loads, required=True, help="JSON: parts of the configuration")
parser.add_argument("--csv", type=Path, required=True)
parser.add_argument("--tex", type=Path, required=True)
parser.add_argument("--html", type=Path, required=True)
parser.add_argument("--shape-claims", type=Path, required=True, help="CSV: verdicts on trees against chains")
options = parser.parse_args()


def main() -> None:
    requests, summaries = (
        {path.stem: pd.read_csv(path) for path in paths} for paths in (options.requests, options.summaries)
    )
    margins = load_margins(options.claims)
    ledger = judge(load_claims(options.claims), requests, summaries, describe_run(options.run), margins)
    labels = {name: prompts["label"] for name, prompts in options.run["prompts"].items()}
    shapes = shape_ledger(pd.read_csv(options.shapes), labels, margins)
    for path, frame in ((options.csv, ledger), (options.shape_claims, shapes)):
        write_text(path, frame.to_csv(index=False, float_format="%.6g"))
    write_text(options.tex, claims_latex(ledger))
    write_text(options.html, ledger_page(ledger.to_dict("records"), shapes.to_dict("records")))


run(
    main,
    reads=[options.claims, *options.requests, *options.summaries, options.shapes],
    writes=[options.csv, options.tex, options.html, options.shape_claims],
    arguments=options,
)
