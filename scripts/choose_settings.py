"""Choose the settings of the tuned baselines from the sweep."""

import argparse
from pathlib import Path

import pandas as pd

from dynatree.analysis.tune import choose
from dynatree.utils.files import write_json
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--summary", type=Path, required=True, help="summary of the sweep")
parser.add_argument("--output", type=Path, required=True)
options = parser.parse_args()


def main() -> None:
    write_json(options.output, choose(pd.read_csv(options.summary)))


run(main, reads=[options.summary], writes=[options.output], arguments=options)
