"""Let the target sample the text that its draft learns from."""

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dynatree.distillation.corpus import sample_text
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--target", type=Path, required=True, help="folder of the target checkpoint")
parser.add_argument("--output", type=Path, required=True, help="folder for the sampled shards")
parser.add_argument("--shards", type=int, required=True)
parser.add_argument("--sequences", type=int, default=128, help="sequences in a shard")
parser.add_argument("--length", type=int, default=192, help="tokens in a sequence")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()


def main() -> None:
    torch.set_num_threads(options.threads)
    sample_text(
        AutoModelForCausalLM.from_pretrained(options.target, dtype=torch.float32),
        AutoTokenizer.from_pretrained(options.target),
        options.output,
        options.shards,
        options.sequences,
        options.length,
        options.seed,
    )


shards = [options.output / f"{index:04d}.safetensors" for index in range(options.shards)]
run(main, reads=[options.target], writes=[path for path in shards if not path.exists()], arguments=options)
