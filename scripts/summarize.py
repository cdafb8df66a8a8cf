"""Summarize the raw records of an experiment."""

import argparse
from pathlib import Path

import pandas as pd

from dynatree.analysis.summary import per_request, read_all, summarize
from dynatree.analysis.work import latencies
from dynatree.utils.files import write_text
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--records", type=Path, nargs="+", required=True, help="one file per job")
parser.add_argument("--latency", type=Path, required=True, help="CSV: seconds of forward passes on this machine")
parser.add_argument("--mixed-formats", action="store_true", help="the jobs differ in their number formats")
parser.add_argument("--requests", type=Path, required=True, help="CSV: one row per request")
parser.add_argument("--summary", type=Path, required=True, help="CSV: one row per job, group and case")
options = parser.parse_args()


def main() -> None:
    requests, summaries = [], []
    measurements = read_all(options.records, options.mixed_formats)
    times = None if options.mixed_formats else latencies(pd.read_csv(options.latency))
    for path, measurement in zip(options.records, measurements, strict=True):
        requests.append(per_request(path.stem, measurement, times))
        summaries.append(summarize(measurement.job, requests[-1]))
    for path, frames in ((options.requests, requests), (options.summary, summaries)):
        write_text(path, pd.concat(frames).to_csv(index=False, float_format="%.6g"))


run(main, reads=[*options.records, options.latency], writes=[options.requests, options.summary], arguments=options)
