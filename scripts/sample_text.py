"""Let the target sample the text that its draft learns from."""

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dynatree.distillation.sampling import sample_text

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--target", type=Path, required=True, help="folder of the target checkpoint")
parser.add_argument("--output", type=Path, required=True, help="folder for the sampled shards")
parser.add_argument("--shards", type=int, required=True)
parser.add_argument("--sequences", type=int, default=128, help="sequences in a shard")
parser.add_argument("--length", type=int, default=192, help="tokens in a sequence")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()

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
