"""Collect the facts that the paper states about a run; fail if its records do not belong together."""

import argparse
from pathlib import Path

from dynatree.analysis.html_report import environment_page
from dynatree.analysis.summary import read_all, run_facts
from dynatree.utils.files import write_json, write_text
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--records", type=Path, nargs="+", required=True, help="the records of all jobs")
parser.add_argument("--output", type=Path, required=True, help="JSON")
parser.add_argument("--html", type=Path, required=True, help="the same facts as a page")
options = parser.parse_args()


def main() -> None:
    facts = run_facts(read_all(options.records, mixed_formats=True))
    write_json(options.output, facts)
    write_text(options.html, environment_page(facts))


run(main, reads=options.records, writes=[options.output, options.html], arguments=options)
