"""Summarize measured KV-cache compression: per text, per case, cache growth, and passkey retrieval."""

import argparse
from pathlib import Path

from dynatree.analysis.compression_summary import (
    cache_growth,
    compression_requests,
    summarize_compression,
    summarize_passkey,
)
from dynatree.utils.files import read_json, write_text
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--measured", type=Path, nargs="+", required=True, help="JSON: one file per data set")
parser.add_argument("--requests", type=Path, required=True, help="CSV: one row per text and case")
parser.add_argument("--summary", type=Path, required=True, help="CSV: one row per data set and case")
parser.add_argument("--growth", type=Path, required=True, help="CSV: one row per case and forward pass over one text")
parser.add_argument("--passkey", type=Path, required=True, help="CSV: one row per case, length and depth")
options = parser.parse_args()


def main() -> None:
    measured = [read_json(path, "delete it and run the pipeline again") for path in options.measured]
    requests = compression_requests(measured)
    for path, frame in (
        (options.requests, requests),
        (options.summary, summarize_compression(requests)),
        (options.growth, cache_growth(measured)),
        (options.passkey, summarize_passkey(measured)),
    ):
        write_text(path, frame.to_csv(index=False, float_format="%.6g"))


run(
    main,
    reads=options.measured,
    writes=[options.requests, options.summary, options.growth, options.passkey],
    arguments=options,
)
