"""Write the weights of a checkpoint as a GGUF file in float32, for llama.cpp."""

import argparse
from pathlib import Path

from dynatree.data.gguf_export import export_gguf
from dynatree.utils.files import MANIFEST
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--source", type=Path, required=True, help="folder of the checkpoint")
parser.add_argument("--output", type=Path, required=True, help="folder of the file and its manifest")
options = parser.parse_args()

run(
    lambda: export_gguf(options.source, options.output),
    reads=[options.source],
    writes=[options.output / MANIFEST],
    arguments=options,
)
