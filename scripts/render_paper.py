"""Render the paper's LaTeX source from its templates and the results of a run."""

import argparse
import json
from pathlib import Path

from dynatree.analysis.paper import TEMPLATES, render
from dynatree.utils.files import write_text
from dynatree.utils.paths import repository_path
from dynatree.workflow.script import run

FILES = (
    *("facts", "tuned", "claims", "requests", "peers", "draft_cache", "bounds"),
    *("heads", "compression", "passkey"),
)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--config", type=json.loads, required=True, help="the configuration, as JSON")
for name in (*FILES, "tables", "figures", "output"):
    parser.add_argument(f"--{name}", type=Path, required=True)
for name in ("summaries", "published"):
    parser.add_argument(f"--{name}", type=Path, nargs="+", required=True)
options = parser.parse_args()


def main() -> None:
    inputs = {name: getattr(options, name) for name in ("summaries", "published", *FILES)}
    folders = {"tables": options.tables, "figures": options.figures}
    write_text(options.output, render(options.config, inputs, folders, options.output.parent))


run(
    main,
    reads=[
        *sorted(repository_path(TEMPLATES).glob("*.j2")),
        *options.summaries,
        *(getattr(options, name) for name in FILES),
        *options.published,
    ],
    writes=[options.output],
    arguments=options,
)
