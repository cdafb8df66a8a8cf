"""Pack a finished run into an archive that others can verify."""

import argparse
import json
from pathlib import Path

from dynatree.provenance.archive import pack
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--config", type=json.loads, required=True, help="the run's configuration, as JSON")
parser.add_argument("--output", type=Path, required=True, help="a .tar.gz file")
options = parser.parse_args()

run(lambda: pack(Path.cwd(), options.config, options.output), writes=[options.output], arguments=options)
