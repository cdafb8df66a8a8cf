"""Train a draft, measure it on held-out openings, and write its checkpoint, report and model card."""

import time
from pathlib import Path

import torch

from dynatree.distillation.agreement import agreement
from dynatree.distillation.card import model_card
from dynatree.distillation.ngram_counts import count_ngrams
from dynatree.distillation.openings import phrases
from dynatree.distillation.training import Recipe, distill, load_samples
from dynatree.models.loading import load_draft, load_pair, save_borrowing_draft
from dynatree.models.ngram_table import FILE_NAME, save_table
from dynatree.models.pair import ModelPair
from dynatree.utils.files import write_json, write_text

NEW_TOKENS = 96
SUCCESSORS = 4  # of a context of the n-gram table
READS = ("the target's own embeddings", "the target's last hidden states and its embeddings")


def distill_draft(
    target: Path, samples: Path, folder: Path, recipe: Recipe, command: str, start: Path | None = None
) -> dict:
    """Make a draft and an n-gram table for ``target``, and write both, ``report.json`` and ``README.md``.

    Args:
        target: folder of the target.
        samples: folder of sampled text, see :func:`dynatree.distillation.corpus.sample_text`.
        folder: folder of the draft; an interrupted training continues from its checkpoint here.
        recipe: hyper-parameters.
        command: command line that makes the draft, for the model card.
        start: folder of an earlier draft whose training goes on; None to start from the target's layers.

    Returns:
        The content of ``report.json``: recipe, size, minutes and agreement by rank.
    """
    pair = load_pair(target, device="cpu", dtype="float32", backend="stock")  # other layers have no gradients
    text = load_samples(samples)
    earlier = load_draft(start, pair.target, pair.device, pair.dtype) if start else None
    started = time.perf_counter()
    draft = distill(pair.target, text, recipe, folder / "checkpoint.safetensors", earlier)
    minutes = (time.perf_counter() - started) / 60
    save_borrowing_draft(draft, folder)
    table = count_ngrams(text["tokens"], text["labels"], recipe.contexts, SUCCESSORS)
    save_table(table, folder / FILE_NAME)
    prompts = phrases()["held_out"]
    shares = agreement(ModelPair(pair.target, draft, pair.tokenizer), list(prompts), NEW_TOKENS)
    report = vars(recipe) | {
        "target": target.name,
        "target_layers": pair.target.config.num_hidden_layers,
        "tokens": text["tokens"].numel(),
        "sequences": len(text["tokens"]),
        "minutes": minutes,
        "threads": torch.get_num_threads(),
        "contexts": len(table.contexts),
        "table_megabytes": (folder / FILE_NAME).stat().st_size / 1e6,
        "megabytes": (folder / "model.safetensors").stat().st_size / 1e6,
        "new_tokens": NEW_TOKENS,
        "prompts": len(prompts),
        "command": command,
        "start": "an earlier draft, the option --start" if start else "layers of the target",
        "reads": READS[recipe.readings > 0],
    }
    report |= {f"top{rank}": share for rank, share in shares.items()}
    write_text(folder / "README.md", model_card(**report))
    write_json(folder / "report.json", report)
    return report
