"""Baselines from transformers: greedy decoding alone, compiled, assisted by the same draft, and by prompt lookup."""

import copy
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers.generation.streamers import BaseStreamer

from dynatree.errors import DynatreeError
from dynatree.models.pair import ModelPair
from dynatree.models.state_embedding import reads_states

METHODS = ("generate", "assisted", "prompt_lookup", "static")


@dataclass
class Reference:
    """The output and the cost of a baseline; ``seconds`` has "total" and "ttft".

    ``passes`` has [new tokens, cached entries] of each forward pass of the "target" and the "draft".
    """

    tokens: list[int]
    seconds: dict[str, float]
    rounds: int
    draft_forwards: int
    passes: dict[str, list[list[int]]]


def reference(
    pair: ModelPair,
    prompt: list[int],
    method: str,
    max_new_tokens: int,
    num_assistant_tokens: int | None = None,
    num_tokens: int = 10,
    capacity: int = 0,
) -> Reference:
    """Decode with ``pair.target.generate``, never stopping at an end-of-sequence token.

    Args:
        pair: target and draft.
        prompt: token ids.
        method: "generate"; "assisted" by the pair's draft; "prompt_lookup", which drafts the continuation of an
            earlier occurrence of the latest tokens; or "static", whose forward passes over one token transformers
            compiles on CUDA, for a static cache.
        max_new_tokens: tokens to emit.
        num_assistant_tokens: with "assisted", number of tokens to draft each round; None for the defaults of
            transformers, which stop when the draft's confidence is low.
        num_tokens: with "prompt_lookup", number of tokens to draft.
        capacity: with "static", entries of the cache. All requests share it, so only the first one compiles.

    Raises:
        DynatreeError: the method is unknown, or a request exceeds the capacity.
    """
    if method not in METHODS:
        raise DynatreeError(f"unknown Hugging Face method {method!r}; choose one of {', '.join(METHODS)}")
    if method == "assisted" and reads_states(pair.draft):
        raise DynatreeError("assisted generation of transformers takes a draft of tokens, not one that reads states")
    assisted, static = method == "assisted", method == "static"
    if static and len(prompt) + max_new_tokens > capacity:
        needed = len(prompt) + max_new_tokens
        raise DynatreeError(f"a request needs {needed} cache entries; raise capacity of method static above {capacity}")
    how = {
        "assisted": {"assistant_model": pair.draft},
        "prompt_lookup": {"prompt_lookup_num_tokens": num_tokens},
        "static": {"cache_implementation": "static", "max_cache_len": capacity},
    }
    ids = torch.tensor([prompt], device=pair.device)
    clock = _FirstToken()
    with (
        _generation_config(pair.target),
        _assistant(pair.draft, num_assistant_tokens) if assisted else nullcontext(),
        # a hook would make torch compile again
        nullcontext(_plain_passes(prompt, max_new_tokens)) if static else _forwards(pair.target) as target,
        _forwards(pair.draft) if assisted else nullcontext([]) as draft,
    ):
        start = time.perf_counter()
        output = cast(Any, pair.target).generate(  # PreTrainedModel itself does not declare it
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=0,
            streamer=clock,
            **how.get(method, {}),
        )
        tokens = output[0, len(prompt) :].tolist()  # synchronizes with the device
        total = time.perf_counter() - start
    seconds = {"total": total, "ttft": clock.first - start}
    return Reference(tokens, seconds, len(target) - 1, len(draft), {"target": target, "draft": draft})


def _plain_passes(prompt: list[int], new_tokens: int) -> list[list[int]]:
    """Return the forward passes of plain decoding."""
    return [[len(prompt), 0], *([1, len(prompt) + emitted] for emitted in range(new_tokens - 1))]


class _FirstToken(BaseStreamer):
    """The time of the first new token; generate() passes the prompt first."""

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
    """Give ``model`` a temporary generation config without an end-of-sequence token.

    A config passed to generate() does not suffice, because its None values are filled from the model's config.
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
    """Give the draft temporary settings, because transformers adapts them during a call."""
    if num_assistant_tokens is None:
        return _generation_config(draft)
    return _generation_config(
        draft,
        num_assistant_tokens=num_assistant_tokens,
        num_assistant_tokens_schedule="constant",
        assistant_confidence_threshold=0.0,
    )


@contextmanager
def _forwards(model):
    """Yield a list that receives [new tokens, cached entries] of each forward pass of ``model``."""
    passes: list[list[int]] = []

    def note(module, arguments, keywords) -> None:
        cache = keywords.get("past_key_values")
        ids = keywords["input_ids"] if "input_ids" in keywords else arguments[0]
        passes.append([ids.shape[1], cache.get_seq_length() if cache is not None else 0])

    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield passes
    finally:
        handle.remove()
