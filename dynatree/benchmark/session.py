"""The protocol: warm up, interleave all cases prompt by prompt, compare every output, keep raw records."""

import sys

from tqdm import tqdm

from dynatree.benchmark.environment import clock
from dynatree.benchmark.hf_baselines import reference
from dynatree.benchmark.logit_gap import largest_gap
from dynatree.benchmark.quiet import quiet
from dynatree.benchmark.records import Journal, Record
from dynatree.benchmark.round_traces import generate_traced
from dynatree.benchmark.schedule import BASELINE, ScheduledRequest, prompt_hash
from dynatree.decoding.engine import generate
from dynatree.decoding.results import Generation
from dynatree.errors import DynatreeError
from dynatree.models.pair import ModelPair
from dynatree.policies.registry import make_policy
from dynatree.utils.host import load, now

WARM_UP_TOKENS = 16


def measure(pair: ModelPair, requests: list[ScheduledRequest], about: dict, journal: Journal) -> None:
    """Run requests in one session and compare what they emit with the baseline.

    Args:
        pair: target and draft.
        requests: see :func:`dynatree.benchmark.schedule.missing`; at least one.
        about: what is known about the session: its "job", with the options of all cases, and all else to be recorded.
        journal: takes each finished record. In float32 its outputs equal the baseline's. In other formats, where
            passes over one token and over many round differently, a record holds the largest gap between a
            teacher-forced argmax and an emitted token.

    Raises:
        DynatreeError: in float32, a case emits other tokens than the baseline; the message says where.
    """
    job = about["job"]
    exact = job["dtype"] == "float32"
    run = run_traced if job["traces"] else run_case
    session = journal.begin(about)
    _warm_up(pair, requests, job)
    for order, repetition, prompt, group, case in tqdm(requests, desc="measuring", unit="request", file=sys.stderr):
        settings = job["groups"][group]
        tokens = prompt["tokens"][: settings["prompt_tokens"]]
        conditions = {"time": now(), "load": load(), "clock": clock(pair.device)}
        with quiet(pair.device):
            measured = run(pair, tokens, settings["cases"][case], settings["new_tokens"])
        record = Record(
            session=session,
            baseline=session,
            prompt=prompt["id"],
            prompt_tokens=len(tokens),
            prompt_sha256=prompt_hash(tokens),
            group=group,
            case=case,
            repetition=repetition,
            order=order,
            divergence=None,
            margin=None if exact else largest_gap(pair, tokens, measured["tokens"]),
            **conditions,
            **measured,
        )
        journal.add(record)
        compare([one for one in journal.records if one.session == session], exact)


def compare(records: list[Record], exact: bool) -> None:
    """Note where each record differs from its baseline, if that is among the records; raise if it must not."""
    baselines = {(one.prompt, one.group, one.session): one.tokens for one in records if one.case == BASELINE}
    for record in records:
        expected = baselines.get((record.prompt, record.group, record.baseline))
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


def _warm_up(pair: ModelPair, requests: list[ScheduledRequest], job: dict) -> None:
    """Unrecorded requests of each kind of method that is to be measured."""
    cases = [job["groups"][group]["cases"][case] for *_, group, case in requests]
    prompts = [prompt for _, _, prompt, _, _ in requests]
    kinds = {_kind(case): case for case in reversed(cases)}
    new_tokens = min(WARM_UP_TOKENS, *(group["new_tokens"] for group in job["groups"].values()))
    for index in range(job["warmup"]):
        for case in tqdm(kinds.values(), desc="warming up", unit="method", file=sys.stderr):
            run_case(pair, prompts[index % len(prompts)]["tokens"], case, new_tokens)


def _kind(case: dict) -> tuple:
    """Cases of one kind need one warm-up; of a method that learns from one request for the next, each needs its own."""
    of_policy = {name: value for name, value in case["options"].items() if name != "draft_cache"}
    learns = case["engine"] == "dynatree" and make_policy(case["method"], **of_policy).lasting
    return case["engine"], case["method"], str(case["options"]) if learns else ""


def run_case(pair: ModelPair, prompt: list[int], case: dict, new_tokens: int) -> dict:
    """Run one request; returns the fields of its record that it determines."""
    if case["engine"] == "huggingface":
        out = reference(pair, prompt, case["method"], new_tokens, **case["options"])
        unknown = dict.fromkeys(("verified", "accepted", "drafted_depth", "draft_rows"))
        return vars(out) | unknown
    return _measured(generate(pair, prompt, case["method"], new_tokens, eos_token_id=None, **case["options"]))


def run_traced(pair: ModelPair, prompt: list[int], case: dict, new_tokens: int) -> dict:
    """:func:`run_case` with a trace, which references do not have."""
    if case["engine"] == "huggingface":
        return run_case(pair, prompt, case, new_tokens)
    out, trace = generate_traced(pair, prompt, case["method"], new_tokens, case["options"])
    return _measured(out) | {"trace": trace}


def _measured(out: Generation) -> dict:
    names = ("rounds", "draft_forwards", "verified", "accepted", "drafted_depth", "seconds")
    drafts = out.stats.passes["draft"]
    rows = {"draft_rows": drafts[-1][1] if drafts else None}
    return {"tokens": out.tokens} | {name: getattr(out.stats, name) for name in names} | rows


def _mismatch(record: Record, expected: list[int]) -> str:
    at = record.divergence
    ours, theirs = ((tokens[at] if at < len(tokens) else "nothing") for tokens in (record.tokens, expected))
    return (
        f"{record.case} is not lossless: on prompt {record.prompt!r} new token {at} is {ours}, "
        f"but autoregressive decoding emits {theirs}"
    )
