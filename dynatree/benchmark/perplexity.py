"""Perplexity and generation time with a compressed cache.

A text is read in chunks, one forward pass each, and the cache is compressed after each pass. Every token is therefore
predicted from the entries that remain. With chunks of one token this is the streaming evaluation of Xiao et al. (2024)
and Devoto et al. (2024).
"""

import math
import sys
import time
from collections.abc import Iterator

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from dynatree.benchmark.live_tensors import peak_bytes
from dynatree.benchmark.pauses import without_pause
from dynatree.benchmark.quiet import quiet
from dynatree.errors import DynatreeError
from dynatree.kvcompress.context import compress
from dynatree.kvcompress.hf_cache import CompressedCache
from dynatree.kvcompress.methods.base import Method
from dynatree.kvcompress.methods.head_aware import HeadAware
from dynatree.kvcompress.registry import make_method

WARM_UP_TOKENS = 4


def build_method(cases: dict[str, dict], key: str, tokens: int) -> Method:
    """Return the method of a case for texts of ``tokens`` tokens.

    Args:
        cases: see :func:`dynatree.config.compression_grid.compression_cases`.
        key: key of the case.
        tokens: length of the text with the generated tokens; only a case with "rows_of" depends on it.
    """
    case = cases[key]
    if case["rows_of"] is None:
        return make_method(case["method"], **case["options"])
    model = cases[case["rows_of"]]
    counted = make_method(model["method"], **model["options"])
    assert isinstance(counted, HeadAware), "check() of the configuration admits no other method"
    return make_method(case["method"], **case["options"], budget=mean_rows(counted, tokens))


def mean_rows(method: HeadAware, tokens: int) -> int:
    """Return the entries per head that ``head_aware`` holds after ``tokens`` tokens: the rounded-up mean over heads."""
    windows = [
        None if layer in method.skip_layers else window
        for layer, heads in enumerate(method.windows)
        for window in heads
    ]
    rows = [tokens if window is None else min(tokens, method.sinks + window) for window in windows]
    return math.ceil(sum(rows) / len(rows))


def passes(
    model: PreTrainedModel, method: Method, tokens: list[int], chunk: int
) -> Iterator[tuple[torch.Tensor, CompressedCache]]:
    """Read ``tokens`` in chunks; yield the logits [n, vocabulary] of each forward pass and the cache after it."""
    ids = torch.tensor(tokens, device=model.device)
    with torch.inference_mode(), compress(model, method) as compression:
        for part in ids.split(chunk):
            logits = model(part[None], past_key_values=compression.cache).logits[0]
            assert compression.cache is not None, "every pass inside compress() has a cache"
            yield logits, compression.cache


def read_text(model: PreTrainedModel, method: Method, tokens: list[int], chunk: int) -> dict:
    """Predict every token of a text after the first from the compressed cache of the tokens before it.

    Returns:
        "nll", the mean negative log-likelihood in nats; "accuracy", the share of tokens that are the argmax; "rows",
        the maximum number of entries of a head after a pass; "mean_rows", the mean over all heads after the last pass;
        "cache_bytes", the maximum number of bytes of the cache after a pass; "growth", pairs of tokens read and bytes.
    """
    targets = torch.tensor(tokens[1:], device=model.device)
    nll, hits, rows, growth, done = 0.0, 0, 0, [], 0
    for logits, cache in passes(model, method, tokens, chunk):
        expected = targets[done : done + len(logits)]
        predicted = logits[: len(expected)].float()
        nll += torch.nn.functional.cross_entropy(predicted, expected, reduction="sum").item()
        hits += int((predicted.argmax(-1) == expected).sum())
        done += len(expected)
        rows = max(rows, *(length for layer in cache.entries for length in layer))
        growth.append([cache.seen, cache.bytes()])
    held = [length for layer in cache.entries for length in layer]
    return {
        "nll": nll / len(targets),
        "accuracy": hits / len(targets),
        "rows": rows,
        "mean_rows": sum(held) / len(held),
        "cache_bytes": max(size for _, size in growth),
        "growth": growth,
    }


def generate_compressed(model: PreTrainedModel, method: Method, prompt: list[int], new_tokens: int) -> dict:
    """Generate greedily after one forward pass over the prompt, without stopping early.

    Returns:
        "tokens", "seconds", "ttft" (seconds to the first token) and "cache_bytes" at the end.
    """
    with torch.inference_mode(), quiet(model.device), compress(model, method) as compression:
        begun = time.perf_counter()
        token = model(torch.tensor([prompt], device=model.device), logits_to_keep=1).logits[0, -1:].argmax(-1)
        said = [token.item()]  # synchronizes with the device
        ttft = time.perf_counter() - begun
        for _ in range(new_tokens - 1):
            token = model(token[None], past_key_values=compression.cache).logits[0, -1:].argmax(-1)
            said.append(token.item())
        times = {"seconds": time.perf_counter() - begun, "ttft": ttft}
        assert compression.cache is not None, "every pass inside compress() has a cache"
        return {"tokens": said} | times | {"cache_bytes": compression.cache.bytes()}


def check_lengths(model: PreTrainedModel, longest: int, what: str) -> None:
    """Raise unless ``longest`` tokens fit into the model's positions, which the full cache requires."""
    positions = model.config.max_position_embeddings
    if longest > positions:
        raise DynatreeError(
            f"config: compression/{what} needs {longest} tokens, but the model has {positions} positions; lower it"
        )


def check_job(model: PreTrainedModel, job: dict) -> None:
    """Raise unless every method can be built and fits the model, and every text fits its positions.

    :func:`dynatree.benchmark.passkey.prepare` checks the passkey test.
    """
    generated = sum(job["generation"][part] for part in ("prompt_tokens", "new_tokens"))
    check_lengths(model, job["tokens"], "tokens")
    check_lengths(model, generated, "generation")
    for cases, tokens in ((job["cases"], job["tokens"]), (job["generation_cases"], generated)):
        check_cases(model, cases, tokens)


def check_cases(model: PreTrainedModel, cases: dict[str, dict], tokens: int) -> None:
    """Raise unless every case has a method for texts of ``tokens`` tokens that fits the model."""
    for key in cases:
        try:
            CompressedCache(model, build_method(cases, key, tokens))
        except DynatreeError as mistake:
            raise DynatreeError(f"config: compression: case {key!r}: {mistake}") from mistake


def read_all(model: PreTrainedModel, job: dict, texts: list[dict]) -> list[dict]:
    """Return one row for each text and case; only rows of the first text keep the growth of the cache."""
    rows = []
    todo = [(number, text, key) for number, text in enumerate(texts) for key in job["cases"]]
    for number, text, key in tqdm(todo, desc="reading", unit="text", file=sys.stderr):
        method = build_method(job["cases"], key, job["tokens"])
        found = read_text(model, method, text["tokens"][: job["tokens"]], job["chunk"])
        rows.append({"case": key, "prompt": text["id"]} | found | ({} if number == 0 else {"growth": []}))
    return rows


def generate_all(model: PreTrainedModel, job: dict, texts: list[dict]) -> list[dict]:
    """Return one row for each text, case and repetition, interleaved by text; the first case rotates.

    The first row of each case also has "peak_bytes", see :func:`peak_bytes`, from a separate, short request.
    """
    settings, cases = job["generation"], job["generation_cases"]
    length = settings["prompt_tokens"] + settings["new_tokens"]
    methods = {key: build_method(cases, key, length) for key in cases}

    def request(text: dict, key: str, new_tokens: int) -> dict:
        prompt = text["tokens"][: settings["prompt_tokens"]]
        return without_pause(lambda: generate_compressed(model, methods[key], prompt, new_tokens))

    for _ in range(job["warmup"]):
        for key in cases:
            request(texts[0], key, min(WARM_UP_TOKENS, settings["new_tokens"]))
    rows = []
    for repetition in range(job["repetitions"]):
        for number, text in enumerate(tqdm(texts, desc="generating", unit="text", file=sys.stderr)):
            for key in _rotated(list(cases), number):
                names = {"case": key, "prompt": text["id"], "repetition": repetition}
                rows.append(names | request(text, key, settings["new_tokens"]))
    for key in cases:
        peak = peak_bytes(model, lambda key=key: request(texts[0], key, min(WARM_UP_TOKENS, settings["new_tokens"])))
        next(row for row in rows if row["case"] == key)["peak_bytes"] = peak
    return rows


def _rotated(keys: list[str], by: int) -> list[str]:
    return keys[by % len(keys) :] + keys[: by % len(keys)]
