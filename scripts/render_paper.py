"""Render the paper's LaTeX source from its templates and the results of a run."""

import argparse
import json
import os
from pathlib import Path

from dynatree.analysis.paper import render
from dynatree.files import write_text
from dynatree.scripting import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--config", type=json.loads, required=True, help="the configuration, as JSON")
for name in ("summary", "facts", "published", "table", "figure", "output"):
    parser.add_argument(f"--{name}", type=Path, required=True)
options = parser.parse_args()


def main() -> None:
    folder = options.output.parent.resolve()
    # LaTeX resolves file names from the folder it runs in
    paths = {name: os.path.relpath(getattr(options, name), folder) for name in ("table", "figure")}
    write_text(options.output, render(options.config, options.summary, options.facts, options.published, paths))


run(main)
