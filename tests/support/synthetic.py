"""Measurements with known numbers, for every job of a configuration and without a model."""

import copy
from dataclasses import replace
from itertools import product
from pathlib import Path

from dynatree.benchmark.records import Measurement, Record
from dynatree.benchmark.tuned_options import resolve
from dynatree.config.experiments import jobs
from dynatree.config.jobs import Group
from dynatree.config.load import load_config

ROOT = Path(__file__).resolve().parents[2]
TUNED = {
    "chain": {"length": 2},
    "fixed_tree": {"depth": 2, "branch": 2, "prune_probability": 0.02, "node_budget": 12},
}
# tokens per second on an average prompt
RATES = {
    "autoregressive": 10,
    "hf_generate": 9.5,
    "hf_assisted": 6,
    "hf_assisted_fixed": 5,
    "chain": 12,
    "fixed_tree": 13,
    "dynatree_static": 13.5,
    "dynatree": 14,
    "llama_cpp": 11,
    "llama_cpp_ngram": 11.5,
}
OTHER_RATE = 12.5
SESSION = "2026-01-01T00:00:00+00:00-abcdef"
ENVIRONMENT = {
    "commit": "0123456789abcdef",
    "uncommitted_changes": False,
    "machine": "m",
    "system": "Debian_12 & more",
    "processor": "100% {odd} CPU #1",
    "cores": 2,
    "memory_gib": 23.5,
    "device": "CPU",
    "threads": 2,
    "cpu_capability": "AVX2",
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
}


def configuration() -> dict:
    return load_config(ROOT / "config/ci.yaml")


def measurement(name: str = "main-narrative", prompts: int = 4, config: dict | None = None) -> Measurement:
    """A job whose speed-ups are exactly the ratios of RATES, measured in one session."""
    config = config or configuration()
    job = resolve(jobs(config)[name].without_labels(), TUNED)
    dataset = config["prompts"][job.dataset]
    session = {
        "job": job.to_json(),
        "dataset": {"stands_for": dataset["stands_for"], "source": "made up"},
        "code": "c0de",
        "models": {role: {"folder": role, "sha256": role * 9, "parameters": 10**6} for role in ("target", "draft")},
        "environment": ENVIRONMENT,
        "claims_sha256": "f0" * 32,
        "started": "2026-01-01T00:00:00+00:00",
    }
    records: list[Record] = []
    for repetition, index in product(range(job.repetitions), range(prompts)):
        for group, case, _ in job.cases():
            record = _record(index, group, case, job.groups[group], len(records), job.dtype)
            records.append(replace(record, repetition=repetition))
    return Measurement(job, {SESSION: copy.deepcopy(session)}, records, disturbed=[])


def _record(prompt: int, group: str, case: str, settings: Group, order: int, dtype: str) -> Record:
    new_tokens = settings.new_tokens
    total = new_tokens / (RATES.get(case, OTHER_RATE) * (1 + 0.1 * prompt))
    ours = settings.cases[case].engine == "dynatree"
    seconds = {"total": total, "ttft": total / new_tokens}
    seconds |= {"prefill": 0.0, "draft": 0.0, "verify": 0.95 * total, "other": 0.05 * total} if ours else {}
    traced = ours and new_tokens > 1
    counts = (15, 30, 8, 20) if ours else (15, None, None, None)
    return Record(
        session=SESSION,
        baseline=SESSION,
        prompt_sha256=f"{prompt:016}",
        time=f"2026-01-01T00:00:{order % 60:02}+00:00",
        host={"cpu": total, "switches": 1.0, "pressure": 0.0, "steal": None},
        article=f"p{prompt}",
        prompt=f"p{prompt}",
        prompt_tokens=settings.prompt_tokens or 50,
        group=group,
        case=case,
        repetition=0,
        order=order,
        tokens=list(range(new_tokens)),
        divergence=None,
        margin=None if dtype == "float32" and settings.cases[case].engine != "llama_cpp" else 0.03,
        seconds=seconds,
        rounds=max(1, new_tokens // 2 + prompt),
        draft_forwards=counts[0],
        verified=counts[1],
        accepted=counts[2],
        drafted_depth=counts[3],
        draft_rows=40 if ours else None,
        passes=passes(new_tokens, settings.cases[case].method) if ours else {"target": [[50, 0]], "draft": []},
        trace=trace(new_tokens, settings.cases[case].method) if traced else None,
    )


def trace(new_tokens: int, method: str) -> dict:
    """Rounds of two tokens from trees of four nodes, drafted in two passes; the baseline's of one token from none."""
    plain, chooses = method == "autoregressive", method == "cost_aware"
    nodes, drafts = (0, 0) if plain else (4, 2)
    emitted = _emitted(new_tokens, plain)
    return {
        "rounds": [[nodes, min(nodes, 2), count - 1, count, drafts] for count in emitted],
        "ranks": [[2, 7][:count] for count in emitted] if chooses else None,
        "calibration_error": 0.0625 if chooses else None,
    }


def passes(new_tokens: int, method: str) -> dict:
    """The forward passes of these rounds."""
    plain = method == "autoregressive"
    nodes, drafts = (0, 0) if plain else (4, 2)
    emitted = _emitted(new_tokens, plain)
    starts = [50 + sum(emitted[:index]) for index in range(len(emitted))]
    drafted = [[1, start + level] for start in starts for level in range(drafts)]
    return {
        "target": [[50, 0], *([nodes + 1, start] for start in starts)],
        "draft": [] if plain else [[50, 0], *drafted],
    }


def _emitted(new_tokens: int, plain: bool) -> list[int]:
    return [1] * (new_tokens - 1) if plain else [2] * ((new_tokens - 1) // 2) + [1] * ((new_tokens - 1) % 2)
