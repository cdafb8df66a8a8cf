"""Which requests a job still needs, and which finished ones count for it."""

import hashlib
import json
from collections.abc import Iterator

from dynatree.benchmark.records import Journal, Measurement, Record, pair_with_baselines

BASELINE = "autoregressive"
MACHINE = ("machine", "processor", "device", "threads", "cpu_capability", "versions")

ScheduledRequest = tuple[int, int, dict, str, str]  # order, repetition, prompt, group, case


def requests(prompts: list[dict], groups: dict, repetitions: int) -> Iterator[ScheduledRequest]:
    """All requests of a job in order, all cases interleaved within each prompt.

    The case that goes first changes from prompt to prompt, so that none always runs on a warm or a cold machine.
    """
    cases = [(name, case) for name, group in groups.items() for case in group["cases"]]
    order = 0
    for repetition in range(repetitions):
        for index, prompt in enumerate(prompts):
            first = (index + repetition) % len(cases)
            for group, case in cases[first:] + cases[:first]:
                yield order, repetition, prompt, group, case
                order += 1


def valid(journal: Journal, prompts: list[dict], about: dict) -> list[Record]:
    """The records of a journal that are what this job would measure now.

    Their code, models, machine, versions, number format and backend are those of ``about``, and their prompt and case
    are unchanged. A request that was measured again counts once per session.
    """
    job = about["job"]
    wanted = {
        (repetition, prompt["id"], group, case): (order, _request(job, group, case, prompt))
        for order, repetition, prompt, group, case in requests(prompts, job["groups"], job["repetitions"])
    }
    same = {session for session, other in journal.sessions.items() if _conditions(other) == _conditions(about)}
    found = []
    for record in journal.records:
        order, request = wanted.get(record.key, (None, None))
        if record.session in same and request == _definition(record, journal.sessions[record.session]["job"]):
            record.order = order
            found.append(record)
    return found


def missing(records: list[Record], prompts: list[dict], job: dict) -> list[ScheduledRequest]:
    """The requests without a valid record, and the baselines to measure beside them.

    Cases measured now are paired with a baseline measured now, even where an older one is valid.
    """
    have = {record.key for record in records}
    planned = list(requests(prompts, job["groups"], job["repetitions"]))
    lacking = {_key(request)[:3] for request in planned if _key(request) not in have}
    return [
        request
        for request in planned
        if _key(request) not in have or (request[-1] == BASELINE and _key(request)[:3] in lacking)
    ]


def assemble(journal: Journal, prompts: list[dict], about: dict) -> Measurement:
    """What counts for a run: of each request the latest valid record, each paired with a baseline."""
    records = valid(journal, prompts, about)
    baselines = [record for record in records if record.case == BASELINE]
    latest = {record.key: record for record in records if record.case != BASELINE}
    chosen = pair_with_baselines(list(latest.values()), baselines)
    names = {name for record in chosen for name in (record.session, record.baseline)}
    return Measurement(about["job"], {name: journal.sessions[name] for name in sorted(names)}, chosen)


def prompt_hash(tokens: list[int]) -> str:
    """A fingerprint of a prompt: 16 hex digits."""
    return hashlib.sha256(json.dumps(tokens).encode()).hexdigest()[:16]


def _key(request: ScheduledRequest) -> tuple[int, str, str, str]:
    _, repetition, prompt, group, case = request
    return repetition, prompt["id"], group, case


def _conditions(about: dict) -> tuple:
    models = {role: model["sha256"] for role, model in about["models"].items()}
    machine = {name: about["environment"][name] for name in MACHINE}
    return about["code"], about["job"]["dtype"], about["job"]["backend"], models, machine


def _request(job: dict, group: str, case: str, prompt: dict) -> tuple:
    tokens = prompt["tokens"][: job["groups"][group]["prompt_tokens"]]
    return prompt_hash(tokens), *_settings(job, group, case)


def _definition(record: Record, job: dict) -> tuple:
    return record.prompt_sha256, *_settings(job, record.group, record.case)


def _settings(job: dict, group: str, case: str) -> tuple:
    settings = job["groups"][group]
    return settings["new_tokens"], {name: settings["cases"][case][name] for name in ("engine", "method", "options")}
