"""The measurement of a plan, by the functions of the pipeline, one repetition of each arm after the other."""

import hashlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import dynatree
from dynatree.benchmark.environment import environment
from dynatree.benchmark.records import Journal, Measurement, Record
from dynatree.benchmark.schedule import assemble, next_requests, prompt_hash, valid
from dynatree.benchmark.session import compare, measure
from dynatree.config.jobs import Job
from dynatree.models.loading import load_pair, parameter_count
from dynatree.models.pair import ModelPair
from dynatree.user_bench.budget import affordable_prompts, time_request
from dynatree.user_bench.plan import Arm, Plan, arms
from dynatree.utils.files import sha256
from dynatree.utils.host import now
from dynatree.utils.locks import file_lock

MEASURING = ("benchmark", "decoding", "drafting", "kvcompress", "latency", "models", "policies")

Listener = Callable[[dict[str, Measurement]], None]


@dataclass(frozen=True)
class Run:
    """A benchmark, complete or not.

    Attributes:
        plan: what it measures.
        arms: the arms.
        measurements: name of the arm -> its records so far.
        planned: number of planned requests.
    """

    plan: Plan
    arms: list[Arm]
    measurements: dict[str, Measurement]
    planned: int

    @property
    def finished(self) -> int:
        """Number of finished requests."""
        return sum(len({record.key for record in one.records}) for one in self.measurements.values())


class ListenedJournal(Journal):
    """A journal that calls a function after the last record of each prompt.

    Args:
        path: see :class:`Journal`.
        cases: number of methods that decode a prompt.
    """

    listener: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, path: Path, cases: int):
        super().__init__(path)
        self._cases = cases

    def add(self, record: Record) -> None:
        """Append a record, and call the listener if all methods have decoded the prompt."""
        super().add(record)
        place = record.session, record.repetition, record.prompt
        of_prompt = [one for one in self.records if (one.session, one.repetition, one.prompt) == place]
        if len(of_prompt) == self._cases:
            self.listener()


class Bench:
    """A benchmark in a folder, which goes on where an earlier one has stopped.

    Args:
        plan: what to measure.
        prompts: token ids of the prompts.
        warm_up: token ids of a text that is not measured.
        folder: keeps a journal for each arm.
    """

    def __init__(self, plan: Plan, prompts: list[list[int]], warm_up: list[int], folder: Path):
        self.plan = plan
        self.arms = arms(plan)
        self._journals = {
            arm.name: ListenedJournal(folder / f"journals/{_file_name(arm.name)}", len(arm.cases)) for arm in self.arms
        }
        self._lock = folder / "bench.lock"
        self._prompts = [
            {"id": str(number), "article": str(number), "tokens": tokens}
            for number, tokens in enumerate(prompts, start=1)
        ]
        self._warm_up = [{"id": "warm-up", "article": "warm-up", "tokens": warm_up}]
        self._jobs: dict[str, Job] = {}
        self._about: dict[str, dict[str, Any]] = {}
        self._pair: tuple[str, ModelPair] | None = None

    def run(self, listener: Listener = lambda _: None) -> Run:
        """Measure what the journals lack; a repetition of one arm after that of the other.

        The number of prompts is chosen before the first one is measured, so all methods decode the same prompts. If
        time is left at the end, disturbed requests are measured again.

        Args:
            listener: called after each prompt with the measurements so far.

        Raises:
            DynatreeError: a model cannot be loaded, or in float32 a method emits other tokens than plain decoding.
            KeyboardInterrupt: the user has interrupted the benchmark; :meth:`so_far` returns what is finished.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(self._lock, exclusive=True, holder="another benchmark in this folder"):
            for journal in self._journals.values():
                journal.listener = lambda: listener(self.so_far().measurements)
            end = time.perf_counter() + 60 * self.plan.minutes
            self._prompts = self._prompts[: self._affordable()]
            for repetition in range(self.plan.repetitions):
                for arm in self.arms:
                    self._measure(arm, repetition)
            for arm in self.arms:
                if time.perf_counter() < end:
                    for repetition in range(self.plan.repetitions):
                        self._measure(arm, repetition, self.plan.rule.attempts)
        return self.so_far()

    def so_far(self) -> Run:
        """Return the finished requests of this machine, these models and this code, compared with plain decoding."""
        found = {
            name: assemble(self._journals[name], self._prompts, self._jobs[name], self._about[name], complete=False)
            for name in self._jobs
        }
        for measurement in found.values():
            compare(measurement.records, measurement.job)
        requests = sum(len(arm.cases) for arm in self.arms) * len(self._prompts) * self.plan.repetitions
        return Run(self.plan, self.arms, found, requests)

    def _affordable(self) -> int:
        """Return how many prompts the time permits, or as many as an earlier process has begun to measure in it."""
        first, plan = self.arms[0], self.plan
        job, about = self._describe(first)
        journal = self._journals[first.name]
        begun = {record.session for record in valid(journal, self._prompts, job, about)}
        earlier = [journal.sessions[name] for name in begun]
        count = max((one["job"]["prompts"] for one in earlier), default=0)
        if any(one["dataset"]["source"]["minutes"] >= plan.minutes for one in earlier):
            return count
        by_length = sorted((prompt["tokens"] for prompt in self._prompts), key=len)
        seconds = time_request(self._load(first), by_length[len(by_length) // 2], plan.new_tokens)
        methods = sum(len(arm.cases) for arm in self.arms)
        return max(count, affordable_prompts(60 * plan.minutes, methods, plan.repetitions, seconds))

    def _measure(self, arm: Arm, repetition: int, attempts: int = 0) -> None:
        """Measure the requests of a repetition that the journal of an arm lacks, and disturbed ones so often again."""
        if arm.name not in self._jobs:
            self._jobs[arm.name], self._about[arm.name] = self._describe(arm)
        about, journal = self._about[arm.name], self._journals[arm.name]
        job = self._jobs[arm.name]
        job = replace(job, rule=replace(job.rule, attempts=attempts))
        while todo := [
            one for one in next_requests(journal, self._prompts, job, about) if one.repetition == repetition
        ]:
            print(f"{arm.name}: {len(todo)} requests", file=sys.stderr)
            measure(self._load(arm), todo, job, about | {"started": now()}, journal, self._warm_up)

    def _load(self, arm: Arm) -> ModelPair:
        """Return the models of an arm; only one arm is in memory."""
        if self._pair is None or self._pair[0] != arm.name:
            self._pair = None
            plan = self.plan
            pair = load_pair(plan.target, arm.draft, plan.device, plan.dtype, backend=plan.backend)
            self._pair = arm.name, pair
            return pair
        return self._pair[1]

    def _describe(self, arm: Arm) -> tuple[Job, dict[str, Any]]:
        """Return the job of an arm, and what describes its sessions."""
        pair = self._load(arm)
        dtype = self.plan.dtype if self.plan.dtype == "int8" else str(pair.dtype).removeprefix("torch.")
        job = arm.job(self.plan, len(self._prompts), pair.device.type, dtype)
        names = {"target": self.plan.target, "draft": arm.draft}
        models = {role: describe_model(str(names[role]), model) for role, model in pair.models.items()}
        about = {
            "started": now(),
            "job": job.to_json(),
            "code": measuring_code(),
            "dataset": {"stands_for": self.plan.workload, "source": {"kind": "bench", "minutes": self.plan.minutes}},
            "prompts_sha256": prompt_hash([token for prompt in self._prompts for token in prompt["tokens"]]),
            "models": models,
            "environment": environment(torch.device(pair.device)),
        }
        return job, about


def describe_model(name: str, model: Any) -> dict[str, Any]:
    """Return the name of a model, its number of parameters, and a hash of its files or of its revision on the hub."""
    folder = Path(name)
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))] if folder.is_dir() else []
    parts = [sha256(path) for path in files] or [name, str(model.config._commit_hash)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return {"folder": folder.name if folder.is_dir() else name, "sha256": digest, "parameters": parameter_count(model)}


def measuring_code() -> str:
    """Return a hash of the package's files that decode and measure."""
    package = Path(dynatree.__file__).parent
    paths = sorted(path for name in MEASURING for path in (package / name).rglob("*.py"))
    digest = hashlib.sha256()
    for path in (package / "tree.py", *paths):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _file_name(arm: str) -> str:
    """Return the name of the journal of an arm."""
    return "".join(one if one.isalnum() or one in "-." else "_" for one in arm) + ".jsonl"
