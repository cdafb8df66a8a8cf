"""Distil a draft from text its target sampled, measure it on held-out openings and write its model card."""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

import torch

from dynatree.distillation.agreement import agreement
from dynatree.distillation.card import model_card
from dynatree.distillation.openings import HELD_OUT
from dynatree.distillation.training import Recipe, distil, load_samples
from dynatree.errors import DynatreeError
from dynatree.loading import load_pair, save_borrowing_draft
from dynatree.models import ModelPair

NEW_TOKENS = 96


def parse() -> argparse.Namespace:
    defaults = Recipe()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, required=True, help="folder of the target checkpoint")
    parser.add_argument("--samples", type=Path, required=True, help="folder of sampled shards")
    parser.add_argument("--output", type=Path, required=True, help="folder for the draft")
    for name, value in vars(defaults).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    recipe = Recipe(**{name: getattr(options, name) for name in vars(Recipe())})
    pair = load_pair(options.target, device="cpu", dtype="float32")
    samples = load_samples(options.samples)
    start = time.perf_counter()
    draft = distil(pair.target, samples, recipe, options.output / "checkpoint.safetensors")
    minutes = (time.perf_counter() - start) / 60
    save_borrowing_draft(draft, options.output)
    shares = agreement(ModelPair(pair.target, draft, pair.tokenizer), HELD_OUT, NEW_TOKENS)
    report = (
        vars(recipe)
        | {
            "target": options.target.name,
            "target_layers": pair.target.config.num_hidden_layers,
            "tokens": samples["tokens"].numel(),
            "sequences": len(samples["tokens"]),
            "minutes": minutes,
            "threads": options.threads,
            "megabytes": (options.output / "model.safetensors").stat().st_size / 1e6,
            "new_tokens": NEW_TOKENS,
            "prompts": len(HELD_OUT),
            "command": shlex.join(["python", *sys.argv]),
        }
        | {f"top{rank}": share for rank, share in shares.items()}
    )
    (options.output / "README.md").write_text(model_card(**report))
    (options.output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps({name: report[name] for name in ("layers", "steps", "minutes", "top1", "top2", "top4")}))


if __name__ == "__main__":
    try:
        main()
    except DynatreeError as error:
        sys.exit(f"error: {error}")
