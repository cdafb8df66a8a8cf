"""Collect what the paper says about a run, and refuse runs whose records do not belong together."""

import argparse
from pathlib import Path

from dynatree.analysis.summary import read_all, run_facts
from dynatree.files import write_json
from dynatree.scripting import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--records", type=Path, nargs="+", required=True, help="the records of all jobs")
parser.add_argument("--output", type=Path, required=True)
options = parser.parse_args()


def main() -> None:
    write_json(options.output, run_facts(read_all(options.records, mixed_formats=True)))


run(main, reads=options.records, writes=[options.output], arguments=options)
