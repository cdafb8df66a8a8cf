"""Outside references: Hugging Face's own greedy decoding, alone, assisted by the same draft, and by prompt lookup."""

import copy
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from transformers.generation.streamers import BaseStreamer

from dynatree.errors import DynatreeError
from dynatree.models.pair import ModelPair

METHODS = ("generate", "assisted", "prompt_lookup")


@dataclass
class Reference:
    """What a reference emitted and cost; ``seconds`` has "total" and "ttft"."""

    tokens: list[int]
    seconds: dict[str, float]
    rounds: int
    draft_forwards: int


def reference(
    pair: ModelPair,
    prompt: list[int],
    method: str,
    max_new_tokens: int,
    num_assistant_tokens: int | None = None,
    num_tokens: int = 10,
) -> Reference:
    """Decode with ``pair.target.generate``, never stopping at an end-of-sequence token.

    Args:
        pair: target and draft.
        prompt: token ids.
        method: "generate"; "assisted" by the pair's draft; or "prompt_lookup", which drafts what followed the latest
            tokens before.
        max_new_tokens: tokens to emit.
        num_assistant_tokens: with "assisted", draft exactly this many tokens each round; None for the defaults of
            transformers, which stop at a low confidence of the draft.
        num_tokens: with "prompt_lookup", tokens to draft.
    """
    if method not in METHODS:
        raise DynatreeError(f"unknown Hugging Face method {method!r}; choose one of {', '.join(METHODS)}")
    assisted = method == "assisted"
    how = {"assisted": {"assistant_model": pair.draft}, "prompt_lookup": {"prompt_lookup_num_tokens": num_tokens}}
    ids = torch.tensor([prompt], device=pair.device)
    clock = _FirstToken()
    with (
        _generation_config(pair.target),
        _assistant(pair.draft, num_assistant_tokens) if assisted else nullcontext(),
        _count_forwards(pair.target) as target_forwards,
        _count_forwards(pair.draft) if assisted else nullcontext([]) as draft_forwards,
    ):
        start = time.perf_counter()
        output = pair.target.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=0,
            streamer=clock,
            **how.get(method, {}),
        )
        tokens = output[0, len(prompt) :].tolist()  # waits for the device
        total = time.perf_counter() - start
    seconds = {"total": total, "ttft": clock.first - start}
    return Reference(tokens, seconds, len(target_forwards) - 1, len(draft_forwards))


class _FirstToken(BaseStreamer):
    """Notes when the first new token arrives; generate() hands over the prompt before."""

    def __init__(self):
        self.calls = 0
        self.first = 0.0

    def put(self, value) -> None:
        self.calls += 1
        if self.calls == 2:
            self.first = time.perf_counter()

    def end(self) -> None:
        pass


@contextmanager
def _generation_config(model, **changes):
    """Give ``model`` a generation config of its own that knows no end-of-sequence token, and restore the old one.

    A config passed to generate() does not do: what it leaves None is filled from the model's.
    """
    before = model.generation_config
    model.generation_config = copy.deepcopy(before)
    model.generation_config.eos_token_id = None
    for name, value in changes.items():
        setattr(model.generation_config, name, value)
    try:
        yield
    finally:
        model.generation_config = before


def _assistant(draft, num_assistant_tokens: int | None):
    """The draft's settings for one call; what transformers adapts during it is dropped afterwards."""
    if num_assistant_tokens is None:
        return _generation_config(draft)
    return _generation_config(
        draft,
        num_assistant_tokens=num_assistant_tokens,
        num_assistant_tokens_schedule="constant",
        assistant_confidence_threshold=0.0,
    )


@contextmanager
def _count_forwards(model):
    """Collects one entry for each forward pass of ``model``."""
    passes: list[None] = []
    handle = model.register_forward_hook(lambda *_: passes.append(None))
    try:
        yield passes
    finally:
        handle.remove()
