"""Outputs that rounding changes, and the price of preventing it with ``exact="strict"``."""

import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

import torch

from dynatree.decoding.engine import generate
from dynatree.models.pair import ModelPair


class Comparison(NamedTuple):
    """An output beside that of ``generate`` of transformers in the same number format.

    Attributes:
        dtype: number format of the target.
        method: method of decoding.
        strict: True for ``exact="strict"``.
        prompt: index of the prompt.
        compared: tokens up to the first difference, inclusive; all tokens if there is none.
        divergences: 1 if a token differs, otherwise 0.
        emitted: tokens of the output.
        seconds: duration of the request.
    """

    dtype: str
    method: str
    strict: bool
    prompt: int
    compared: int
    divergences: int
    emitted: int
    seconds: float


def windows(tokenizer: Any, texts: Iterable[str], length: int) -> list[list[int]]:
    """Return the consecutive pieces of ``length`` tokens of texts."""
    ids = [tokenizer(text).input_ids for text in texts]
    return [text[start : start + length] for text in ids for start in range(0, len(text) - length + 1, length)]


def compare(
    pair: ModelPair, prompts: Iterable[list[int]], methods: list[str], max_new_tokens: int, modes: list[bool]
) -> Iterator[Comparison]:
    """Decode each prompt with transformers, and with each method and mode.

    Args:
        pair: target and draft.
        prompts: token ids.
        methods: methods with their default options.
        max_new_tokens: tokens to emit after each prompt; an end-of-sequence token does not stop them.
        modes: True for ``exact="strict"``. Every second prompt starts with the last.

    Yields:
        One comparison for each prompt, method and mode.
    """
    for index, prompt in enumerate(prompts):
        expected = _plain(pair, prompt, max_new_tokens)
        for method in methods:
            for strict in modes if index % 2 else modes[::-1]:
                start = time.perf_counter()
                out = generate(pair, prompt, method, max_new_tokens, None, exact="strict" if strict else None)
                seconds = time.perf_counter() - start
                agreeing = [one == other for one, other in zip(out.tokens, expected, strict=True)]
                diverged = False in agreeing
                compared = agreeing.index(False) + 1 if diverged else len(agreeing)
                dtype = str(pair.dtype).removeprefix("torch.")
                yield Comparison(dtype, method, strict, index, compared, int(diverged), len(agreeing), seconds)


def _plain(pair: ModelPair, prompt: list[int], max_new_tokens: int) -> list[int]:
    """Return the tokens of ``generate`` of transformers without an end-of-sequence token."""
    settings, ids = pair.target.generation_config, torch.tensor([prompt])
    stops, settings.eos_token_id = settings.eos_token_id, None  # generate() fills None in from here
    try:
        out = cast(Any, pair.target).generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=0
        )
    finally:
        settings.eos_token_id = stops
    return out[0, len(prompt) :].tolist()
