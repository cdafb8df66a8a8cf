"""The distance of emitted tokens from the target's argmax, for formats whose rounding may break ties differently."""

from typing import Any

import torch

from dynatree.models.pair import ModelPair
from dynatree.models.runner import ModelRunner
from dynatree.models.sampling import SamplingOptions
from dynatree.models.text_rules import prepare_rules


@torch.inference_mode()
def largest_gap(pair: ModelPair, prompt: list[int], tokens: list[int]) -> float:
    """Return the largest difference, in logits, between the target's best token and the emitted one.

    One teacher-forced forward pass over ``prompt`` and ``tokens`` gives the logits, which the logits processors of the
    target's generation config change. The gap is 0 if every emitted token is the argmax of that pass.
    """
    text = prompt + tokens[:-1]
    model = ModelRunner(pair.target, "target", len(text))
    logits = model.forward(text, range(len(text)))[-len(tokens) :].float()  # [tokens, vocabulary]
    rules = prepare_rules(pair.target, pair.tokenizer, prompt, len(tokens), frozenset(), SamplingOptions())
    if rules:
        ids = torch.tensor([text], device=logits.device)
        apply: Any = rules.processors
        logits = torch.cat([apply(ids[:, : len(prompt) + n], logits[n : n + 1]) for n in range(len(tokens))])
    emitted = torch.tensor(tokens, device=logits.device)
    chosen = logits.gather(-1, emitted[:, None])[:, 0]
    return float((logits.max(-1).values - chosen).max())
