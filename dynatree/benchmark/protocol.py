"""The protocol: warm up, interleave all methods prompt by prompt, compare every output, keep raw records."""

import gc
import sys
from contextlib import contextmanager

import torch
from tqdm import tqdm

from dynatree.benchmark.environment import load
from dynatree.benchmark.records import Journal, Record, requests
from dynatree.benchmark.references import reference
from dynatree.decoding import generate
from dynatree.errors import DynatreeError
from dynatree.models import ModelPair

BASELINE = "autoregressive"


def measure(pair: ModelPair, prompts: list[dict], methods: dict, protocol: dict, journal: Journal) -> list[Record]:
    """Run every method on every prompt and compare what they emit.

    Args:
        pair: target and draft.
        prompts: each with "id" and "tokens".
        methods: key -> {"engine", "method", "options"}; one must be the autoregressive baseline.
        protocol: "new_tokens", "repetitions" and "warmup", the requests of each method that are not recorded.
        journal: takes each finished record; those it already holds are not measured again.

    Returns:
        All records in the order they ran.

    Raises:
        DynatreeError: in float32, a method emits other tokens than the baseline; the message says where.
    """
    new_tokens = protocol["new_tokens"]
    done = {record.key: record for record in journal.records}
    todo = [
        (order, repetition, prompt, method)
        for order, (repetition, prompt, method) in enumerate(requests(prompts, methods, protocol["repetitions"]))
        if (prompt["id"], method, repetition) not in done
    ]
    if todo:
        _warm_up(pair, prompts, methods, protocol)
    for order, repetition, prompt, method in tqdm(todo, desc="measuring", unit="request", file=sys.stderr):
        before = load()
        with _quiet(pair.device):
            measured = _request(pair, prompt["tokens"], methods[method], new_tokens)
        record = Record(
            prompt=prompt["id"],
            prompt_tokens=len(prompt["tokens"]),
            method=method,
            repetition=repetition,
            order=order,
            divergence=None,
            load=before,
            **measured,
        )
        journal.add(record)
        _compare(journal.records, exact=pair.dtype == torch.float32)
    return sorted(journal.records, key=lambda record: record.order)


def _compare(records: list[Record], exact: bool) -> None:
    """Note where each record differs from the baseline on its prompt, once that has run; raise if it must not."""
    baselines = {record.prompt: record.tokens for record in records if record.method == BASELINE}
    for record in records:
        if record.prompt in baselines:
            record.divergence = first_difference(record.tokens, baselines[record.prompt])
            if exact and record.divergence is not None:
                raise DynatreeError(_mismatch(record, baselines[record.prompt]))


def first_difference(tokens: list[int], expected: list[int]) -> int | None:
    """Index of the first difference, the end of the shorter list included; None if the lists are equal."""
    if tokens == expected:
        return None
    pairs = enumerate(zip(tokens, expected, strict=False))
    return next((index for index, (ours, theirs) in pairs if ours != theirs), min(len(tokens), len(expected)))


def _warm_up(pair: ModelPair, prompts: list[dict], methods: dict, protocol: dict) -> None:
    for index in range(protocol["warmup"]):
        for method in tqdm(methods.values(), desc="warming up", unit="method", file=sys.stderr):
            _request(pair, prompts[index % len(prompts)]["tokens"], method, min(16, protocol["new_tokens"]))


def _request(pair: ModelPair, prompt: list[int], method: dict, new_tokens: int) -> dict:
    """Run one request; returns the fields of its record that it determines."""
    if method["engine"] == "huggingface":
        out = reference(pair, prompt, method["method"], new_tokens, **method["options"])
        unknown = dict.fromkeys(("verified", "accepted", "drafted_depth"))
        return vars(out) | unknown
    out = generate(pair, prompt, method["method"], new_tokens, eos_token_id=None, **method["options"])
    names = ("rounds", "draft_forwards", "verified", "accepted", "drafted_depth", "seconds")
    return {"tokens": out.tokens} | {name: getattr(out.stats, name) for name in names}


@contextmanager
def _quiet(device: torch.device):
    """No garbage collection inside a timing, and no work of an earlier request."""
    gc.collect()
    gc.disable()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    try:
        yield
    finally:
        gc.enable()


def _mismatch(record: Record, expected: list[int]) -> str:
    at = record.divergence
    ours, theirs = ((tokens[at] if at < len(tokens) else "nothing") for tokens in (record.tokens, expected))
    return (
        f"{record.method} is not lossless: on prompt {record.prompt!r} new token {at} is {ours}, "
        f"but autoregressive decoding emits {theirs}"
    )
