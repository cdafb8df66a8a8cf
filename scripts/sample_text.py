"""Sample the training text of a draft from its target."""

import argparse
from pathlib import Path

import torch

from dynatree.distillation.corpus import sample_text, shard_paths
from dynatree.distillation.openings import CHAT, OPENINGS
from dynatree.models.loading import load_pair
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--target", type=Path, required=True, help="folder of the target checkpoint")
parser.add_argument("--output", type=Path, required=True, help="folder for the sampled shards")
parser.add_argument("--shards", type=int, required=True)
parser.add_argument("--sequences", type=int, default=128, help="sequences in a shard")
parser.add_argument("--length", type=int, default=192, help="tokens in a sequence")
parser.add_argument("--first-seed", type=int, default=1, help="seed of the first shard; each further one has the next")
parser.add_argument("--chat", type=float, default=0.0, help="share of texts that answer a question")
parser.add_argument("--states", type=int, default=0, choices=(0, 1), help="1 to keep the target's hidden states")
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()


def main() -> None:
    torch.set_num_threads(options.threads)
    pair = load_pair(options.target, device="cpu", dtype="float32")
    paths = shard_paths(options.output, options.shards)
    size = (options.sequences, options.length, options.first_seed, options.chat, bool(options.states))
    written.extend(sample_text(pair.target, pair.tokenizer, paths, *size))


written: list[Path] = []  # finished shards keep the notes of the run that made them
run(main, reads=[options.target, OPENINGS, CHAT], writes=written, arguments=options)
