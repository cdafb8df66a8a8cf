"""Fetch a model from the source in the configuration into a folder."""

import argparse
import json
from pathlib import Path

from dynatree.data.checkpoints import fetch
from dynatree.utils.files import MANIFEST
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--source", type=json.loads, required=True, help="the model's source, as JSON")
parser.add_argument("--output", type=Path, required=True, help="folder of the checkpoint")
options = parser.parse_args()

run(
    lambda: fetch(options.source, options.output),
    writes=[options.output / MANIFEST],
    arguments=options,
)
