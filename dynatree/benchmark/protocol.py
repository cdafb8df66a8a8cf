"""The protocol: warm up, interleave all cases prompt by prompt, compare every output, keep raw records."""

import gc
import sys
from contextlib import contextmanager

import torch
from tqdm import tqdm

from dynatree.benchmark.audit import largest_gap
from dynatree.benchmark.environment import load
from dynatree.benchmark.records import Journal, Record, requests
from dynatree.benchmark.references import reference
from dynatree.decoding import generate
from dynatree.errors import DynatreeError
from dynatree.models import ModelPair

BASELINE = "autoregressive"
WARM_UP_TOKENS = 16


def measure(pair: ModelPair, prompts: list[dict], job: dict, journal: Journal) -> list[Record]:
    """Run every case on every prompt and compare what they emit.

    Args:
        pair: target and draft.
        prompts: each with "id" and "tokens".
        job: see :func:`dynatree.experiments.jobs`, with the options of all cases; each group has the autoregressive
            baseline.
        journal: takes each finished record; those it already holds are not measured again.

    Returns:
        All records in the order they ran. In float32 their outputs equal the baseline's. In other formats, where
        passes over one token and over many round differently, each record holds the largest gap between a
        teacher-forced argmax and an emitted token.

    Raises:
        DynatreeError: in float32, a case emits other tokens than the baseline; the message says where.
    """
    exact = job["dtype"] == "float32"
    done = {record.key for record in journal.records}
    planned = enumerate(requests(prompts, job["groups"], job["repetitions"]))
    todo = [(order, *what) for order, what in planned if (what[1]["id"], *what[2:], what[0]) not in done]
    if todo:
        _warm_up(pair, prompts, job)
    for order, repetition, prompt, group, case in tqdm(todo, desc="measuring", unit="request", file=sys.stderr):
        settings = job["groups"][group]
        tokens = prompt["tokens"][: settings["prompt_tokens"]]
        before = load()
        with _quiet(pair.device):
            measured = run_case(pair, tokens, settings["cases"][case], settings["new_tokens"])
        record = Record(
            prompt=prompt["id"],
            prompt_tokens=len(tokens),
            group=group,
            case=case,
            repetition=repetition,
            order=order,
            divergence=None,
            margin=None if exact else largest_gap(pair, tokens, measured["tokens"]),
            load=before,
            **measured,
        )
        journal.add(record)
        _compare(journal.records, exact)
    return sorted(journal.records, key=lambda record: record.order)


def _compare(records: list[Record], exact: bool) -> None:
    """Note where each record differs from the baseline on its prompt, once that has run; raise if it must not."""
    baselines = {(record.prompt, record.group): record.tokens for record in records if record.case == BASELINE}
    for record in records:
        expected = baselines.get((record.prompt, record.group))
        if expected is not None:
            record.divergence = first_difference(record.tokens, expected)
            if exact and record.divergence is not None:
                raise DynatreeError(_mismatch(record, expected))


def first_difference(tokens: list[int], expected: list[int]) -> int | None:
    """Index of the first difference, the end of the shorter list included; None if the lists are equal."""
    if tokens == expected:
        return None
    pairs = enumerate(zip(tokens, expected, strict=False))
    return next((index for index, (ours, theirs) in pairs if ours != theirs), min(len(tokens), len(expected)))


def _warm_up(pair: ModelPair, prompts: list[dict], job: dict) -> None:
    """Unrecorded requests of each kind of method the job has."""
    cases = [case for group in job["groups"].values() for case in group["cases"].values()]
    kinds = {(case["engine"], case["method"]): case for case in reversed(cases)}
    new_tokens = min(WARM_UP_TOKENS, *(group["new_tokens"] for group in job["groups"].values()))
    for index in range(job["warmup"]):
        for case in tqdm(kinds.values(), desc="warming up", unit="method", file=sys.stderr):
            run_case(pair, prompts[index % len(prompts)]["tokens"], case, new_tokens)


def run_case(pair: ModelPair, prompt: list[int], case: dict, new_tokens: int) -> dict:
    """Run one request; returns the fields of its record that it determines."""
    if case["engine"] == "huggingface":
        out = reference(pair, prompt, case["method"], new_tokens, **case["options"])
        unknown = dict.fromkeys(("verified", "accepted", "drafted_depth"))
        return vars(out) | unknown
    out = generate(pair, prompt, case["method"], new_tokens, eos_token_id=None, **case["options"])
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
        f"{record.case} is not lossless: on prompt {record.prompt!r} new token {at} is {ours}, "
        f"but autoregressive decoding emits {theirs}"
    )
