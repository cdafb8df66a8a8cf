"""Record the target's outputs on a data set, for replays without a model."""

import argparse
from pathlib import Path

from dynatree.arena.recorder import record
from dynatree.arena.recording import Recording, write_recording
from dynatree.utils.files import read_json
from dynatree.workflow.model_arguments import add_model_arguments, load_models
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--prompts", type=Path, required=True, help="prepared prompts")
parser.add_argument("--dataset", required=True, help="name of the data set")
parser.add_argument("--count", type=int, required=True, help="prompts to record, or all if they are fewer")
parser.add_argument("--new-tokens", type=int, required=True, help="tokens of an output")
parser.add_argument("--output", type=Path, required=True, help="file for the recording (.npz)")
add_model_arguments(parser, draft=False)
options = parser.parse_args()


def main() -> None:
    prompts = read_json(options.prompts, "delete it and run the pipeline again")["prompts"][: options.count]
    outputs = list(record(load_models(options, options), prompts, options.new_tokens))
    write_recording(options.output, Recording(options.target.name, options.dataset, outputs))


run(main, reads=[options.target, options.prompts], writes=[options.output], arguments=options)
