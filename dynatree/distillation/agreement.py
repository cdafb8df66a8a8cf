"""How often a draft's best guesses contain what the target emits."""

import torch

from dynatree.decoding.engine import generate
from dynatree.models.pair import ModelPair

RANKS = (1, 2, 4)


@torch.inference_mode()
def agreement(pair: ModelPair, prompts: list[str | list[int]], new_tokens: int = 96) -> dict[int, float]:
    """Share of the target's greedy tokens found among the draft's top 1, 2 and 4, over continuations of ``prompts``.

    Args:
        pair: target and draft with a tokenizer.
        prompts: texts or token ids that the draft was not trained on.
        new_tokens: tokens of each continuation; an end-of-sequence token ends none.
    """
    hits, count = dict.fromkeys(RANKS, 0), 0
    for prompt in prompts:
        ids = pair.tokenizer(prompt).input_ids if isinstance(prompt, str) else list(prompt)
        emitted = generate(pair, ids, "autoregressive", new_tokens, eos_token_id=None).tokens
        logits = pair.draft(torch.tensor([ids + emitted[:-1]])).logits[0, len(ids) - 1 :]  # [new_tokens, vocabulary]
        guesses = logits.topk(max(RANKS)).indices
        right = guesses == torch.tensor(emitted)[:, None]
        for rank in RANKS:
            hits[rank] += int(right[:, :rank].any(1).sum())
        count += len(emitted)
    return {rank: hits[rank] / count for rank in RANKS}
