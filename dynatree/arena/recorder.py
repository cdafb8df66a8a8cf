"""Recording of a target's outputs on prepared prompts."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from dynatree.arena.recording import RecordedOutput
from dynatree.data.chat import conversation_tokens
from dynatree.decoding.arguments import request_options
from dynatree.decoding.engine import target_runner
from dynatree.decoding.request import Request
from dynatree.errors import DynatreeError
from dynatree.models.exclusive import exclusive
from dynatree.models.pair import ModelPair
from dynatree.policies.registry import make_policy

ROW = 32  # most likely tokens that are kept at each position


def record(pair: ModelPair, prompts: list[dict[str, Any]], new_tokens: int, row: int = ROW) -> Iterator[RecordedOutput]:
    """Yield the target's greedy output after each prompt, and after each further turn of a conversation.

    A further turn contains the recorded answers before it.

    Args:
        pair: the target with its tokenizer; a draft is not used.
        prompts: with "id", "tokens", and optionally "category" and "turns", the messages of the user.
        new_tokens: tokens of an output unless an end-of-sequence token comes first.
        row: tokens that are kept at each position.

    Raises:
        DynatreeError: a prompt does not fit the target's positions, or the target returns logits that are not finite.
    """
    for prompt in prompts:
        category = prompt.get("category", "")
        output = _decode(pair, prompt["id"], category, prompt["tokens"], new_tokens, row)
        yield output
        turns = prompt.get("turns", [])
        messages = turns[:1]
        for number, turn in enumerate(turns[1:], start=2):
            messages = [*messages, pair.tokenizer.decode(output.tokens, skip_special_tokens=True), turn]
            tokens = conversation_tokens(pair.tokenizer, messages)
            output = _decode(pair, f"{prompt['id']}-turn-{number}", category, tokens, new_tokens, row)
            yield output


@torch.inference_mode()
def _decode(pair: ModelPair, name: str, category: str, prompt: list[int], new_tokens: int, row: int) -> RecordedOutput:
    """Decode one prompt; each forward pass of the target yields one token and its row."""
    options = request_options(pair, prompt, make_policy("autoregressive"), new_tokens, "auto")
    row_ids: list[list[int]] = []
    row_log_probs: list[list[float]] = []

    def keep(logits: torch.Tensor) -> torch.Tensor:
        ids, log_probs = target.rank(logits, row)
        first = target.predict(logits)[0]  # topk orders equal logits at will; the smallest id is emitted
        order = sorted(range(len(ids[0])), key=lambda place: ids[0][place] != first)
        row_ids.append([ids[0][place] for place in order])
        row_log_probs.append([log_probs[0][place] for place in order])
        return logits

    with exclusive(pair.models.values()):
        target = target_runner(pair, options)
        request = Request(pair, target, options)
        request.begin(keep(target.forward(prompt, range(len(prompt)), last_only=True)))
        while not request.finished:
            request.accept(keep(target.forward(*request.propose())))
        tokens = request.close().tokens
    if len(tokens) != len(row_ids):
        raise DynatreeError(f"{name} crosses the length at which the target reads its text again; shorten the prompt")
    return RecordedOutput(
        name, category, list(prompt), tokens, np.array(row_ids, np.int32), np.array(row_log_probs, np.float16)
    )
