"""Turn a file of prompts into token ids and check their lengths."""

import argparse
import json
from pathlib import Path

from dynatree.files import write_json
from dynatree.prompts import prepare
from dynatree.scripting import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--prompts", type=Path, required=True, help="YAML with label, source and prompts")
parser.add_argument("--tokenizer", type=Path, required=True, help="folder of the target")
parser.add_argument("--limits", type=json.loads, required=True, help="count, least, most and new_tokens, as JSON")
parser.add_argument("--output", type=Path, required=True)
options = parser.parse_args()

run(lambda: write_json(options.output, prepare(options.prompts, options.tokenizer, **options.limits)))
