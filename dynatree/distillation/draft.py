"""Train a draft, measure it on held-out openings, and write its checkpoint, report and model card."""

import time
from pathlib import Path

import torch

from dynatree.distillation.agreement import agreement
from dynatree.distillation.card import model_card
from dynatree.distillation.openings import phrases
from dynatree.distillation.training import Recipe, distill, load_samples
from dynatree.models.loading import load_pair, save_borrowing_draft
from dynatree.models.pair import ModelPair
from dynatree.utils.files import write_json, write_text

NEW_TOKENS = 96


def distill_draft(target: Path, samples: Path, folder: Path, recipe: Recipe, command: str) -> dict:
    """Make a draft for ``target`` and write ``model.safetensors``, ``report.json`` and ``README.md``.

    Args:
        target: folder of the target.
        samples: folder of sampled text, see :func:`dynatree.distillation.corpus.sample_text`.
        folder: folder of the draft; an interrupted training continues from its checkpoint here.
        recipe: hyper-parameters.
        command: command line that makes the draft, for the model card.

    Returns:
        The content of ``report.json``: recipe, size, minutes and agreement by rank.
    """
    pair = load_pair(target, device="cpu", dtype="float32")
    text = load_samples(samples)
    start = time.perf_counter()
    draft = distill(pair.target, text, recipe, folder / "checkpoint.safetensors")
    minutes = (time.perf_counter() - start) / 60
    save_borrowing_draft(draft, folder)
    prompts = phrases()["held_out"]
    shares = agreement(ModelPair(pair.target, draft, pair.tokenizer), list(prompts), NEW_TOKENS)
    report = vars(recipe) | {
        "target": target.name,
        "target_layers": pair.target.config.num_hidden_layers,
        "tokens": text["tokens"].numel(),
        "sequences": len(text["tokens"]),
        "minutes": minutes,
        "threads": torch.get_num_threads(),
        "megabytes": (folder / "model.safetensors").stat().st_size / 1e6,
        "new_tokens": NEW_TOKENS,
        "prompts": len(prompts),
        "command": command,
    }
    report |= {f"top{rank}": share for rank, share in shares.items()}
    write_text(folder / "README.md", model_card(**report))
    write_json(folder / "report.json", report)
    return report
