"""Compute the oracle bound of tree sizes from the traces of requests."""

import argparse
from pathlib import Path

import pandas as pd

from dynatree.analysis.oracle_bound import bounds
from dynatree.analysis.summary import read_all
from dynatree.analysis.work import latencies
from dynatree.utils.files import write_text
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--records", type=Path, nargs="+", required=True, help="one file per job")
parser.add_argument("--latency", type=Path, required=True, help="CSV: seconds of forward passes on this machine")
parser.add_argument("--bounds", type=Path, required=True, help="CSV: one row per request whose policy chooses a size")
options = parser.parse_args()


def main() -> None:
    found = bounds(read_all(options.records), latencies(pd.read_csv(options.latency)))
    write_text(options.bounds, found.to_csv(index=False, float_format="%.6g"))


run(main, reads=[*options.records, options.latency], writes=[options.bounds], arguments=options)
