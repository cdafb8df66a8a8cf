"""Text sampled by the target itself, labelled with the target's own predictions.

Labels cost nothing extra: the logits from which the next token is drawn also name the most likely one.
"""

import random
from pathlib import Path

import torch
from safetensors.torch import save_file
from tqdm import tqdm

from dynatree.distillation.openings import sample_openings
from dynatree.models.kv_cache import TreeCache

CANDIDATES = 64  # a token is sampled among the target's most likely ones
OPENING_LIMIT = 24  # tokens
EXPLORING = 24  # upper bound of the tokens after the opening sampled at temperature 1, for variety


@torch.inference_mode()
def sample_shard(target, tokenizer, sequences: int, length: int, seed: int) -> dict[str, torch.Tensor]:
    """Sample ``sequences`` texts of ``length`` tokens and label every position.

    Each text starts with a short opening, wanders at temperature 1 for up to ``EXPLORING`` tokens and goes on at a
    temperature of its own between 0.1 and 1. Special tokens are never sampled, but they may be labels.

    Returns:
        ``tokens`` and ``labels``, both [sequences, length] int32: the text, and at each position the target's most
        likely next token.
    """
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    openings = tokenizer(sample_openings(sequences, seed), add_special_tokens=False).input_ids
    openings = [ids[:OPENING_LIMIT] for ids in openings]
    calm_from = torch.tensor([len(ids) + rng.randrange(EXPLORING) for ids in openings])
    calm = torch.tensor([rng.uniform(0.1, 1.0) for _ in openings])
    specials = torch.tensor(tokenizer.all_special_ids)

    tokens = torch.zeros(sequences, length, dtype=torch.int64)
    forced = torch.zeros(sequences, length, dtype=torch.bool)
    for row, ids in enumerate(openings):
        tokens[row, : len(ids)] = torch.tensor(ids)
        forced[row, : len(ids)] = True

    cache = TreeCache(target.config.num_hidden_layers, length)
    labels = torch.empty(sequences, length, dtype=torch.int32)
    for position in range(length):
        step = target(
            input_ids=tokens[:, position : position + 1],
            position_ids=torch.tensor([[position]]),
            past_key_values=cache,
        )
        scores, candidates = step.logits[:, -1].topk(CANDIDATES)  # [sequences, CANDIDATES]
        labels[:, position] = candidates[:, 0]
        if position + 1 < length:
            temperature = torch.where(torch.tensor(position + 1) < calm_from, 1.0, calm)[:, None]
            scores = scores.masked_fill(torch.isin(candidates, specials), -torch.inf)
            drawn = torch.multinomial((scores / temperature).softmax(-1), 1, generator=generator)
            chosen = candidates.gather(1, drawn)[:, 0]
            tokens[:, position + 1] = torch.where(forced[:, position + 1], tokens[:, position + 1], chosen)
    return {"tokens": tokens.int(), "labels": labels}


def sample_text(target, tokenizer, folder: Path, shards: int, sequences: int, length: int, seed: int) -> None:
    """Write ``shards`` files of sampled text to ``folder``; files that exist already are kept, so a run resumes."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in tqdm(range(shards), desc="sampling", unit="shard"):
        path = folder / f"{index:04d}.safetensors"
        if path.exists():
            continue
        shard = sample_shard(target, tokenizer, sequences, length, seed + index)
        partial = path.with_suffix(".partial")
        save_file(shard, partial)
        partial.replace(path)
