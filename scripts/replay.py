"""Replay traces of requests under times of passes here and elsewhere, and find the bound of the best tree sizes."""

import argparse
from pathlib import Path

import pandas as pd

from dynatree.analysis.oracle_bound import bounds
from dynatree.analysis.replay import latencies, replays
from dynatree.analysis.summary import read_all
from dynatree.utils.files import read_json, write_text
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--records", type=Path, nargs="+", required=True, help="one file per job")
parser.add_argument("--latency", type=Path, required=True, help="CSV: times of passes on the machine that measured")
parser.add_argument("--projection", type=Path, required=True, help="JSON: other machines and requests decided there")
parser.add_argument("--replays", type=Path, required=True, help="CSV: one row per request and machine")
parser.add_argument("--bounds", type=Path, required=True, help="CSV: one row per request whose policy chooses a size")
options = parser.parse_args()


def main() -> None:
    measurements = read_all(options.records)
    here = latencies(pd.read_csv(options.latency))
    projection = read_json(options.projection, "delete it and run the pipeline again")
    for path, frame in (
        (options.replays, replays(measurements, here, projection)),
        (options.bounds, bounds(measurements, here)),
    ):
        write_text(path, frame.to_csv(index=False, float_format="%.6g"))


run(
    main,
    reads=[*options.records, options.latency, options.projection],
    writes=[options.replays, options.bounds],
    arguments=options,
)
