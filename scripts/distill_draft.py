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
from dynatree.models.loading import load_pair, save_borrowing_draft
from dynatree.models.pair import ModelPair
from dynatree.utils.files import write_json, write_text
from dynatree.workflow.script import run

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


def main(options: argparse.Namespace) -> None:
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
    write_text(options.output / "README.md", model_card(**report))
    write_json(options.output / "report.json", report)
    print(json.dumps({name: report[name] for name in ("layers", "steps", "minutes", "top1", "top2", "top4")}))


options = parse()
run(
    lambda: main(options),
    reads=[options.target, *sorted(options.samples.glob("*.safetensors"))],
    writes=[options.output / name for name in ("model.safetensors", "README.md", "report.json")],
    arguments=options,
)
