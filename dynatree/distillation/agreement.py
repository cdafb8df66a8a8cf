"""Share of the target's tokens among the most likely tokens of a draft."""

import torch

from dynatree.decoding.engine import generate
from dynatree.models.pair import ModelPair
from dynatree.models.runner import ModelRunner
from dynatree.models.state_embedding import reads_states

RANKS = (1, 2, 4)


@torch.inference_mode()
def agreement(pair: ModelPair, prompts: list[str | list[int]], new_tokens: int = 96) -> dict[int, float]:
    """Return the share of the target's greedy tokens among the draft's top 1, 2 and 4, over continuations of prompts.

    Args:
        pair: target and draft with a tokenizer.
        prompts: texts or token ids that the draft was not trained on.
        new_tokens: tokens of each continuation, which no end-of-sequence token shortens.

    Returns:
        The share by rank.
    """
    assert pair.draft is not None
    hits, count = dict.fromkeys(RANKS, 0), 0
    for prompt in prompts:
        ids = pair.tokenizer(prompt).input_ids if isinstance(prompt, str) else list(prompt)
        emitted = generate(pair, ids, "autoregressive", new_tokens, eos_token_id=None).tokens
        text = ids + emitted[:-1]
        draft = ModelRunner(pair.draft, "draft", len(text))
        logits = draft.forward(text, range(len(text)), states=_states_before(pair, text))
        guesses, _ = draft.rank(logits[len(ids) - 1 :], max(RANKS))
        for token, ranked in zip(emitted, guesses, strict=True):
            for rank in RANKS:
                hits[rank] += token in ranked[:rank]
        count += len(emitted)
    return {rank: hits[rank] / count for rank in RANKS}


def _states_before(pair: ModelPair, text: list[int]) -> torch.Tensor | None:
    """Return the target's last hidden states before each token, zeros first; None if the draft does not read them."""
    if not reads_states(pair.draft):
        return None
    target = ModelRunner(pair.target, "target", len(text))
    target.keeps_states = True
    target.forward(text, range(len(text)), last_only=True)
    assert target.states is not None
    return torch.cat((torch.zeros_like(target.states[:1]), target.states[:-1]))
