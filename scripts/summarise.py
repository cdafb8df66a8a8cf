"""Summarise the raw records of an experiment."""

import argparse
from pathlib import Path

import pandas as pd

from dynatree.analysis.summary import read_all, run_facts, summarise
from dynatree.files import write_json, write_text
from dynatree.scripting import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--records", type=Path, nargs="+", required=True)
parser.add_argument("--summary", type=Path, required=True, help="CSV: one row per data set and method")
parser.add_argument("--facts", type=Path, required=True, help="JSON: machine, models and times of the run")
options = parser.parse_args()


def main() -> None:
    measurements = read_all(options.records)
    rows = pd.concat([summarise(meta, requests) for meta, requests in measurements])
    write_text(options.summary, rows.to_csv(index=False, float_format="%.6g"))
    write_json(options.facts, run_facts([meta for meta, _ in measurements]))


run(main)
