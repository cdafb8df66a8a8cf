"""Turn a data set into prompts as token ids and check their lengths."""

import argparse
import json
from pathlib import Path

from dynatree.data.prompts import prepare
from dynatree.utils.files import check_folder, write_json
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "--source", type=json.loads, required=True, help="the data set's section of the configuration, as JSON"
)
parser.add_argument("--tokenizer", type=Path, required=True, help="folder of the target")
parser.add_argument(
    "--limits", type=json.loads, required=True, help="min, max, new_tokens and tuning_new_tokens, as JSON"
)
parser.add_argument("--output", type=Path, required=True)
options = parser.parse_args()


def work() -> None:
    check_folder(options.tokenizer)
    write_json(options.output, prepare(options.source, options.tokenizer, options.limits))


run(
    work,
    reads=[options.source.get("path"), options.tokenizer],
    writes=[options.output],
    arguments=options,
)
