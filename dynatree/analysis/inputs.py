"""What the scripts of figures and tables are given: their command line and the files it names."""

import argparse
import json
from pathlib import Path

import pandas as pd

from dynatree.analysis.labels import with_labels
from dynatree.utils.files import read_json


def parse(description: str, *outputs: str) -> argparse.Namespace:
    """Read the command line: input files, labels, and a path for each of ``outputs``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--input", type=Path, nargs="*", default=[], help="CSV or JSON files")
    parser.add_argument("--labels", type=json.loads, help="names of the cases and data sets, as JSON")
    for name in outputs:
        parser.add_argument(f"--{name}", type=Path, required=True)
    return parser.parse_args()


def inputs(options: argparse.Namespace) -> list:
    """The content of the input files: a data frame with labels, or what a JSON file holds."""
    return [_read(path, options.labels) for path in options.input]


def _read(path: Path, labels: dict | None):
    if path.suffix != ".csv":
        return read_json(path, "run the pipeline again")
    frame = pd.read_csv(path)
    return with_labels(frame, labels) if labels and "case" in frame else frame
