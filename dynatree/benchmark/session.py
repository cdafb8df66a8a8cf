"""A measuring session: warm up, interleave all cases prompt by prompt, compare every output, keep raw records."""

import copy
import functools
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import torch
from tqdm import tqdm

from dynatree.benchmark.environment import environment
from dynatree.benchmark.hf_baselines import reference
from dynatree.benchmark.host_load import read_host, since
from dynatree.benchmark.llama_cpp import LlamaCpp
from dynatree.benchmark.logit_gap import largest_gap
from dynatree.benchmark.pauses import without_pause
from dynatree.benchmark.quiet import quiet, settled_heap
from dynatree.benchmark.records import Journal, Measurement, Record
from dynatree.benchmark.round_traces import generate_traced
from dynatree.benchmark.schedule import ScheduledRequest, assemble, next_requests, prompt_hash, valid
from dynatree.config.jobs import BASELINE, LLAMA_CPP, PROMPTS, TUNING, Case, Job
from dynatree.config.optional_methods import LLAMA_CPP_PACKAGE
from dynatree.decoding.engine import generate
from dynatree.decoding.results import Generation
from dynatree.errors import DynatreeError
from dynatree.models.cuda_settings import check_float32
from dynatree.models.generation_config import asks_for_rules
from dynatree.models.loading import parameter_count
from dynatree.models.pair import ModelPair, PairState
from dynatree.policies.dynatree import DynaTree
from dynatree.policies.registry import make_policy
from dynatree.utils.files import MANIFEST, read_json, sha256
from dynatree.utils.host import now
from dynatree.utils.locks import file_lock
from dynatree.utils.paths import repository_path

WARM_UP_TOKENS = 4
CLAIMS = "config/claims.yaml"


def run_job(
    job: Job, prompts: Path, path: Path, models: dict[str, Path], code: str, load_pair: Callable[[], ModelPair]
) -> Measurement:
    """Measure the requests of a job that its journal lacks, and return the records that count.

    Each planned sitting is a session with models loaded anew. Requests that the job's rule flags are measured again in
    further sessions, each with its baseline.

    Args:
        job: the job, with the options of all cases.
        prompts: file of the prepared prompts.
        path: the journal of the job.
        models: folders of the "target" and the "draft", and the "gguf" of the target if a case runs llama.cpp.
        code: fingerprint of the code that runs.
        load_pair: loads these models; called only if a request is missing.

    Raises:
        DynatreeError: an input is damaged, another process measures this job, or a case is not lossless.
    """
    data = read_json(prompts, "delete it and run the pipeline again")
    chosen = data[job.split][: job.prompts]
    others = [prompt for split in (TUNING, PROMPTS) for prompt in data[split] if prompt not in chosen]
    about = {
        "started": now(),
        "job": job.to_json(),
        "code": code,
        "dataset": {name: data[name] for name in ("stands_for", "source")},
        "prompts_sha256": sha256(prompts),
        "claims_sha256": sha256(repository_path(CLAIMS)),
        "models": {role: _describe(role, folder) for role, folder in models.items()},
        "environment": environment(torch.device(job.device)),
    }
    with file_lock(path.with_suffix(".lock"), exclusive=True, holder="another measurement of this job"):
        journal = Journal(path)
        sitting, pair = -1, None
        while todo := next_requests(journal, chosen, job, about):
            finished = valid(journal, chosen, job, about)
            print(f"{len(finished)} requests are in {path}, {len(todo)} are to be measured", file=sys.stderr)
            if pair is None or job.sitting(todo[0].repetition) != sitting:
                sitting, pair = job.sitting(todo[0].repetition), load_pair()
            for role, model in pair.models.items():
                about["models"][role]["parameters"] = parameter_count(model)
            with ExitStack() as stack:
                gguf = models.get("gguf")
                llama_cpp = stack.enter_context(LlamaCpp(gguf, torch.get_num_threads())) if gguf else None
                measure(pair, todo, job, about | {"started": now()}, journal, others, llama_cpp)
        measurement = assemble(journal, chosen, job, about)
    compare(measurement.records, job)
    return measurement


def _describe(role: str, folder: Path) -> dict:
    manifest = folder / MANIFEST
    weights = manifest if manifest.exists() else folder / "model.safetensors"
    about = {"folder": str(folder), "sha256": sha256(weights)}
    return about | {"engine": f"{LLAMA_CPP_PACKAGE} {version(LLAMA_CPP_PACKAGE)}"} if role == "gguf" else about


def measure(
    pair: ModelPair,
    requests: list[ScheduledRequest],
    job: Job,
    about: dict,
    journal: Journal,
    warm_up: list[dict],
    llama_cpp: LlamaCpp | None = None,
) -> None:
    """Run requests in one session and compare their outputs with the baseline's.

    Methods with learned statistics begin every request with those that they have after the warm-up.

    Args:
        pair: target and draft.
        requests: see :func:`dynatree.benchmark.schedule.missing`; at least one.
        job: the job, with the options of all cases.
        about: description of the session.
        journal: receives each finished record. In other formats than float32, where forward passes of different
            widths round differently, and for llama.cpp, a record holds the largest gap between a teacher-forced argmax
            and an emitted token.
        warm_up: prompts that the job does not measure.
        llama_cpp: runs the cases of llama.cpp; None without them.

    Raises:
        DynatreeError: in float32, a case emits other tokens than the baseline; the message names the position.
    """
    check_float32(pair.device, pair.target.dtype)
    if llama_cpp and asks_for_rules(pair.target.generation_config, sampled=False, endless=True):
        raise DynatreeError("llama.cpp does not apply penalties of the generation config of the target; reset them")
    session = journal.begin(about)
    run = functools.partial(_run, pair, llama_cpp, job.traces)
    pair.prepare()
    pair.state = PairState(pair.state.cost_models)
    _warm_up(functools.partial(_run, pair, llama_cpp, False), requests, job, warm_up)
    start = copy.deepcopy(pair.state)

    @functools.cache  # most cases of a prompt emit the same tokens
    def gap(prompt: tuple[int, ...], emitted: tuple[int, ...]) -> float:
        return largest_gap(pair, list(prompt), list(emitted))

    with settled_heap():
        for request in tqdm(requests, desc="measuring", unit="request", file=sys.stderr):
            restore(pair, start)
            measured = without_pause(lambda request=request: _measure_request(run, pair.device, request, job))
            tokens = _prompt_of(request, job)
            exact = job.must_equal(request.group, request.case)
            record = Record(
                session=session,
                baseline=session,
                prompt=request.prompt["id"],
                article=request.prompt["article"],
                prompt_tokens=len(tokens),
                prompt_sha256=prompt_hash(tokens),
                group=request.group,
                case=request.case,
                repetition=request.repetition,
                order=request.order,
                divergence=None,
                margin=None if exact else gap(tuple(tokens), tuple(measured["tokens"])),
                **measured,
            )
            journal.add(record)
            compare([one for one in journal.records if one.session == session], job)


def _run(
    pair: ModelPair, llama_cpp: LlamaCpp | None, traces: bool, prompt: list[int], case: Case, new_tokens: int
) -> dict:
    """Run one request on the engine of its case and return the fields of its record that depend on it."""
    if case.engine == LLAMA_CPP and llama_cpp is not None:
        out, counts = llama_cpp.decode(prompt, case, new_tokens)
        return vars(out) | {"draft_rows": None} | counts
    return (run_traced if traces else run_case)(pair, prompt, case, new_tokens)


def _measure_request(run: Callable[..., dict], device: torch.device, request: ScheduledRequest, job: Job) -> dict:
    """Run one request and return the fields of its record that its run gives."""
    group = job.groups[request.group]
    prompt, case, started = _prompt_of(request, job), group.cases[request.case], now()
    with quiet(device):
        before = read_host()
        measured = run(prompt, case, group.new_tokens)
        return {"time": started, "host": since(before)} | measured


def restore(pair: ModelPair, start: PairState) -> None:
    """Set the learned statistics of a pair back to those after the warm-up.

    The history of DynaTree's published code is the exception, because its rule acts between requests by definition.
    """
    published = {key: policy for key, policy in pair.state.policies.items() if isinstance(policy, DynaTree)}
    pair.state = copy.deepcopy(start)
    pair.state.policies |= published


def _prompt_of(request: ScheduledRequest, job: Job) -> list[int]:
    return request.prompt["tokens"][: job.groups[request.group].prompt_tokens]


def compare(records: list[Record], job: Job) -> None:
    """Note the first difference of each record from its baseline, if present; raise if the job forbids one."""
    baselines = {(one.prompt, one.group, one.session): one.tokens for one in records if one.case == BASELINE}
    for record in records:
        expected = baselines.get((record.prompt, record.group, record.baseline))
        if expected is not None:
            record.divergence = first_difference(record.tokens, expected)
            if record.divergence is not None and job.must_equal(record.group, record.case):
                raise DynatreeError(_mismatch(record, record.divergence, expected))


def first_difference(tokens: list[int], expected: list[int]) -> int | None:
    """Return the index of the first difference, or None; a shorter list differs where it ends."""
    if tokens == expected:
        return None
    pairs = enumerate(zip(tokens, expected, strict=False))
    return next((index for index, (ours, theirs) in pairs if ours != theirs), min(len(tokens), len(expected)))


def _warm_up(run: Callable[..., dict], requests: list[ScheduledRequest], job: Job, prompts: list[dict]) -> None:
    """Run unrecorded requests of each kind of method on prompts that are not measured."""
    cases = [job.groups[request.group].cases[request.case] for request in requests]
    kinds = {_kind(case): case for case in reversed(cases)}
    new_tokens = min(WARM_UP_TOKENS, *(group.new_tokens for group in job.groups.values()))
    for index in range(job.warmup):
        prompt = prompts[index % len(prompts)]["tokens"]
        for case in tqdm(kinds.values(), desc="warming up", unit="method", file=sys.stderr):
            run(prompt, case, new_tokens)
    for case in (case for case in kinds.values() if job.calibration and _learns(case)):
        for prompt in prompts[: job.warmup]:
            run(prompt["tokens"], case, job.calibration)


def _learns(case: Case) -> bool:
    return case.engine == "dynatree" and make_policy(case.method, **case.options).persistent


def _kind(case: Case) -> tuple:
    """Cases of one kind share a warm-up; each case of a method that learns across requests needs its own."""
    own = _learns(case) or case.engine == LLAMA_CPP  # which loads the model for each case
    return case.engine, case.method, str((case.options, case.draft_cache)) if own else ""


def run_case(pair: ModelPair, prompt: list[int], case: Case, new_tokens: int) -> dict:
    """Run one request and return the fields of its record that depend on it."""
    if case.engine == "huggingface":
        out = reference(pair, prompt, case.method, new_tokens, **case.options)
        unknown = dict.fromkeys(("verified", "accepted", "drafted_depth", "draft_rows"))
        return vars(out) | unknown
    out = generate(
        pair, prompt, case.method, new_tokens, eos_token_id=None, draft_cache=case.draft_cache, **case.options
    )
    return _measured(out)


def run_traced(pair: ModelPair, prompt: list[int], case: Case, new_tokens: int) -> dict:
    """Run one request as :func:`run_case` does, with a trace unless the case is a Hugging Face method."""
    if case.engine == "huggingface":
        return run_case(pair, prompt, case, new_tokens)
    out, trace = generate_traced(pair, prompt, case, new_tokens)
    return _measured(out) | {"trace": trace}


def _measured(out: Generation) -> dict:
    names = ("rounds", "draft_forwards", "verified", "accepted", "drafted_depth", "seconds")
    passes = {role: [list(one) for one in passes] for role, passes in out.stats.passes.items()}
    rows = {"draft_rows": passes["draft"][-1][1] if passes["draft"] else None}
    return {"tokens": out.tokens} | {name: getattr(out.stats, name) for name in names} | rows | {"passes": passes}


def _mismatch(record: Record, at: int, expected: list[int]) -> str:
    ours, theirs = ((tokens[at] if at < len(tokens) else "nothing") for tokens in (record.tokens, expected))
    return (
        f"{record.case} is not lossless: on prompt {record.prompt!r} new token {at} is {ours}, "
        f"but autoregressive decoding emits {theirs}"
    )
