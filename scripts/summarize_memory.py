"""Summarize the peak memory of an experiment as its maximum over the prompts."""

import argparse
from pathlib import Path

import pandas as pd

from dynatree.analysis.memory_summary import summarize_memory
from dynatree.utils.files import write_text
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--measured", type=Path, nargs="+", required=True, help="CSV: one row per case and prompt")
parser.add_argument("--summary", type=Path, required=True, help="CSV: one row per data set and case")
options = parser.parse_args()


def main() -> None:
    measured = pd.concat([pd.read_csv(path) for path in options.measured], ignore_index=True)
    write_text(options.summary, summarize_memory(measured).to_csv(index=False, float_format="%.6g"))


run(main, reads=options.measured, writes=[options.summary], arguments=options)
