"""Which requests a job still needs, and which finished ones count for it."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from dynatree.benchmark.disturbance import disturbances
from dynatree.benchmark.records import Journal, Measurement, Record, pair_with_baselines
from dynatree.config.jobs import BASELINE, Job

MACHINE = ("machine", "processor", "device", "threads", "cpu_capability", "versions")


class ScheduledRequest(NamedTuple):
    """A request of a job.

    Attributes:
        order: number of the request in the job.
        repetition: 0, 1, ...
        prompt: "id" and "tokens".
        group: name of the group.
        case: key of the case within the group.
    """

    order: int
    repetition: int
    prompt: dict
    group: str
    case: str

    @property
    def key(self) -> tuple[int, str, str, str]:
        """Identity of the request within its job, as in :attr:`Record.key`."""
        return self.repetition, self.prompt["id"], self.group, self.case


def requests(prompts: list[dict], job: Job) -> Iterator[ScheduledRequest]:
    """Yield all requests of a job in order, with all cases interleaved within each prompt.

    The order of the cases is drawn anew for each prompt and repetition, from the seed of the job. No case therefore
    always follows the same case, and a drift of the machine falls on all cases alike on average.
    """
    cases = [(group, key) for group, key, _ in job.cases()]
    order = 0
    for repetition in range(job.repetitions):
        for prompt in prompts:
            for group, case in sorted(cases, key=lambda one: _draw(job.seed, repetition, prompt["id"], *one)):
                yield ScheduledRequest(order, repetition, prompt, group, case)
                order += 1


def _draw(*parts: object) -> str:
    """Return a pseudo-random key. A further case does not change the relative order of the others."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def valid(journal: Journal, prompts: list[dict], job: Job, about: dict) -> list[Record]:
    """Return the records of a journal that this job would measure in the same way now.

    Their code, models, machine, versions, number format and backend are those of ``about``, and their prompt and case
    are unchanged. A request that was measured again counts once per session.

    Args:
        journal: the journal of the job.
        prompts: the prompts of the job.
        job: the job, with the options of all cases.
        about: description of the present session, see :class:`dynatree.benchmark.records.Journal`.
    """
    wanted = {one.key: (one.order, _request(job, one)) for one in requests(prompts, job)}
    measured = {
        session: Job.from_json(other["job"])
        for session, other in journal.sessions.items()
        if _conditions(other) == _conditions(about)
    }
    found = []
    for record in journal.records:
        order, request = wanted.get(record.key, (record.order, None))
        if record.session in measured and request == _definition(record, measured[record.session]):
            record.order = order
            found.append(record)
    return found


def undisturbed(records: list[Record], job: Job) -> list[Record]:
    """Return the records that count: those that the job's rule does not flag, and the last attempt at the others.

    Args:
        records: see :func:`valid`.
        job: the job.
    """
    flags = [found.breaks(job.rule) for found in disturbances(records, job.device)]
    attempts = Counter(record.key for record in records)
    good = {record.key for record, flag in zip(records, flags, strict=True) if not flag}
    last = {record.key: record for record in records}
    spent = {key for key, count in attempts.items() if count > job.rule.attempts and key not in good}
    return [
        record
        for record, flag in zip(records, flags, strict=True)
        if not flag or (record.key in spent and record is last[record.key])
    ]


def disturbed(records: list[Record], job: Job) -> list[dict]:
    """Return the flagged records of a job as JSON values; "kept" tells whether one counts nevertheless.

    Args:
        records: see :func:`valid`.
        job: the job.
    """
    kept = {id(record) for record in undisturbed(records, job)}
    names = ("session", "prompt", "group", "case", "repetition")
    return [
        {name: getattr(record, name) for name in names} | vars(found) | {"kept": id(record) in kept}
        for record, found in zip(records, disturbances(records, job.device), strict=True)
        if found.breaks(job.rule)
    ]


def next_requests(journal: Journal, prompts: list[dict], job: Job, about: dict) -> list[ScheduledRequest]:
    """Return the requests of the next session: those that the first incomplete sitting lacks.

    Args:
        journal: the journal of the job.
        prompts: the prompts of the job.
        job: the job, with the options of all cases.
        about: description of the present session.
    """
    todo = missing(undisturbed(valid(journal, prompts, job, about), job), prompts, job)
    first = min((job.sitting(one.repetition) for one in todo), default=0)
    return [one for one in todo if job.sitting(one.repetition) == first]


def missing(records: list[Record], prompts: list[dict], job: Job) -> list[ScheduledRequest]:
    """Return the requests without a valid record, and the baselines to measure beside them.

    Cases measured now are paired with a baseline measured now, even if an older one is valid.
    """
    have = {record.key for record in records}
    planned = list(requests(prompts, job))
    lacking = {one.key[:3] for one in planned if one.key not in have}
    return [one for one in planned if one.key not in have or (one.case == BASELINE and one.key[:3] in lacking)]


def assemble(journal: Journal, prompts: list[dict], job: Job, about: dict, complete: bool = True) -> Measurement:
    """Return the latest valid record of each request that is not flagged, each paired with a baseline.

    Args:
        journal: the journal of the job.
        prompts: the prompts of the job.
        job: the job, with the options of all cases.
        about: description of the present session.
        complete: False leaves out requests whose baseline is not measured yet.
    """
    measured = valid(journal, prompts, job, about)
    records = undisturbed(measured, job)
    baselines = [record for record in records if record.case == BASELINE]
    paired = {record.key[:3] for record in (records if complete else baselines)}
    latest = {one.key: one for one in records if one.case != BASELINE and one.key[:3] in paired}
    chosen = pair_with_baselines(list(latest.values()), baselines, journal.sessions)
    names = {name for record in chosen for name in (record.session, record.baseline)}
    sessions = {name: journal.sessions[name] for name in journal.sessions if name in names}
    return Measurement(job, sessions, chosen, disturbed(measured, job))


def prompt_hash(tokens: list[int]) -> str:
    """Return a fingerprint of a prompt: 16 hex digits."""
    return hashlib.sha256(json.dumps(tokens).encode()).hexdigest()[:16]


def _conditions(about: dict) -> tuple:
    models = {role: (model["sha256"], model.get("engine")) for role, model in about["models"].items()}
    machine = {name: about["environment"][name] for name in MACHINE}
    return about["code"], about["job"]["dtype"], about["job"]["backend"], models, machine


def _request(job: Job, request: ScheduledRequest) -> tuple:
    group = job.groups[request.group]
    tokens = request.prompt["tokens"][: group.prompt_tokens]
    return prompt_hash(tokens), group.new_tokens, group.cases[request.case].definition


def _definition(record: Record, job: Job) -> tuple:
    group = job.groups[record.group]
    return record.prompt_sha256, group.new_tokens, group.cases[record.case].definition
