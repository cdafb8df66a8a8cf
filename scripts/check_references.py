"""Check the claims and the published numbers that a run will be held against, before it computes anything."""

import argparse
from pathlib import Path

import pandas as pd

from dynatree.analysis.claims import load_claims
from dynatree.analysis.reproduction import check_published
from dynatree.scripting import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--claims", type=Path, required=True)
parser.add_argument("--published", type=Path, required=True, help="CSV of the main comparison's published numbers")
options = parser.parse_args()


def main() -> None:
    load_claims(options.claims)
    check_published(pd.read_csv(options.published))


run(main)
