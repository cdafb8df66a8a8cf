"""Text sampled from the target, labeled with the target's own predictions.

Labels need no further forward pass: the logits from which the next token is drawn also give the most likely one.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dynatree.data.chat import conversation_tokens
from dynatree.distillation.openings import sample_openings, sample_questions
from dynatree.distillation.tensor_files import fingerprint, read_origin, write_tensors
from dynatree.models.forward import apply_head, hidden_states
from dynatree.models.kv_cache import TreeCache
from dynatree.models.trimmed_head import output_head

CANDIDATES = 64  # a token is sampled among the target's most likely ones
OPENING_LIMIT = 24  # tokens
EXPLORING = 24  # upper bound of the tokens after the opening sampled at temperature 1, for variety


def prompt_tokens(
    tokenizer: PreTrainedTokenizerBase, count: int, limit: int, seed: int, chat: float
) -> list[list[int]]:
    """Return the token ids of ``count`` prompts: questions in the chat template first, then openings of a text.

    Args:
        tokenizer: of the target.
        count: number of prompts.
        limit: maximum length of a question in tokens. Longer ones are left out.
        seed: seed of the draws.
        chat: share of questions between 0 and 1.
    """
    asked = round(chat * count)
    drawn = (conversation_tokens(tokenizer, [text]) for text in sample_questions(4 * asked, seed))
    questions = [ids for ids in drawn if len(ids) <= limit][:asked]
    openings = sample_openings(count - len(questions), seed)
    return questions + [tokenizer(text, add_special_tokens=False).input_ids[:OPENING_LIMIT] for text in openings]


@torch.inference_mode()
def sample_shard(
    target: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sequences: int,
    length: int,
    seed: int,
    chat: float = 0.0,
    states: bool = False,
) -> dict[str, torch.Tensor]:
    """Sample ``sequences`` texts of ``length`` tokens and label every position.

    Each text starts with a question or a short opening, continues at temperature 1 for up to ``EXPLORING`` tokens and
    then at a temperature of its own between 0.1 and 1. Special tokens are never sampled, but they may be labels.

    Args:
        target: the model that is sampled.
        tokenizer: its tokenizer.
        sequences: number of texts.
        length: tokens of each text, the opening included.
        seed: seed of prompts, temperatures and draws.
        chat: share of the texts that answer a question, see :func:`prompt_tokens`.
        states: also return the target's hidden states.

    Returns:
        ``tokens`` and ``labels``, both [sequences, length] int32: the text, and at each position the target's most
        likely next token. With ``states`` also ``states`` [sequences, length, hidden_size] float16: the last hidden
        states, from which the labels were predicted.
    """
    head = output_head(target)
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    prompts = prompt_tokens(tokenizer, sequences, length // 2, seed, chat)
    calm_from = torch.tensor([len(ids) + rng.randrange(EXPLORING) for ids in prompts])
    calm = torch.tensor([rng.uniform(0.1, 1.0) for _ in prompts])
    specials = torch.tensor(tokenizer.all_special_ids)

    tokens = torch.zeros(sequences, length, dtype=torch.int64)
    forced = torch.zeros(sequences, length, dtype=torch.bool)
    for row, ids in enumerate(prompts):
        tokens[row, : len(ids)] = torch.tensor(ids)
        forced[row, : len(ids)] = True

    cache = TreeCache(target.config.num_hidden_layers, length)
    labels = torch.empty(sequences, length, dtype=torch.int32)
    kept: list[torch.Tensor] = []
    for position in range(length):
        ids = tokens[:, position : position + 1]
        hidden = hidden_states(target, ids, torch.full_like(ids, position), cache=cache)  # [sequences, 1, hidden_size]
        kept += [hidden.half()] if states else []
        scores, candidates = apply_head(head, hidden[:, 0]).topk(CANDIDATES)  # [sequences, CANDIDATES]
        labels[:, position] = candidates[:, 0]
        if position + 1 < length:
            temperature = torch.where(torch.tensor(position + 1) < calm_from, 1.0, calm)[:, None]
            scores = scores.masked_fill(torch.isin(candidates, specials), -torch.inf)
            drawn = torch.multinomial((scores / temperature).softmax(-1), 1, generator=generator)
            chosen = candidates.gather(1, drawn)[:, 0]
            tokens[:, position + 1] = torch.where(forced[:, position + 1], tokens[:, position + 1], chosen)
    return {"tokens": tokens.int(), "labels": labels} | ({"states": torch.cat(kept, dim=1)} if states else {})


def shard_paths(folder: Path, shards: int) -> list[Path]:
    """Return the files of ``shards`` shards in ``folder``."""
    return [folder / f"{index:04d}.safetensors" for index in range(shards)]


def sample_text(
    target: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    paths: Sequence[Path],
    sequences: int,
    length: int,
    seed: int,
    chat: float = 0.0,
    states: bool = False,
) -> list[Path]:
    """Write shards of sampled text; existing shards of these arguments stay, so an interrupted run resumes.

    Args:
        target, tokenizer, sequences, length, chat, states: see :func:`sample_shard`.
        paths: files of the shards. All other shards in their folder are removed.
        seed: seed of the first shard; each further shard has the next.

    Returns:
        The files that were written.
    """
    for path in {path.parent for path in paths}:
        for other in set(path.glob("*.safetensors")) - set(paths):
            other.unlink()
    written = []
    weights = fingerprint(target.state_dict())
    for index, path in enumerate(tqdm(paths, desc="sampling", unit="shard")):
        made_from = {
            "target": weights,
            "sequences": sequences,
            "length": length,
            "seed": seed + index,
            "chat": chat,
            "states": states,
        }
        if read_origin(path) != made_from:
            write_tensors(
                path, sample_shard(target, tokenizer, sequences, length, seed + index, chat, states), made_from
            )
            written.append(path)
    return written
