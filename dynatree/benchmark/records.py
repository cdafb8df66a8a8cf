"""Raw records: the journal of all finished requests, and the file of the records that count for a run."""

import json
import os
import secrets
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from dynatree.config.jobs import Job
from dynatree.errors import DynatreeError
from dynatree.utils.files import read_json, write_json


@dataclass
class Record:
    """One request: a prompt continued by a method.

    Attributes:
        session: id of the session that ran it, see :class:`Journal`.
        baseline: id of the session whose baseline it is paired with.
        prompt: id of the prompt.
        article: article or book that the prompt is taken from.
        prompt_tokens: its number of tokens.
        prompt_sha256: hash of its tokens.
        group: name of its group of cases, which share the baseline.
        case: key of the case within its group.
        repetition: 0, 1, ...
        order: number of the request in the order of the job.
        tokens: the emitted ids.
        divergence: index of the first token that differs from autoregressive decoding; None if none does. A journal
            may hold None because the baseline had not run yet.
        margin: largest gap in logits between a teacher-forced argmax and an emitted token; None in float32.
        seconds: "total" and "ttft"; for methods of this package also "prefill", "draft", "verify" and "other".
        rounds: target forwards after prefill.
        draft_forwards, verified, accepted, drafted_depth: see :class:`dynatree.decoding.results.Stats`; None for
            Hugging Face methods that do not count them.
        draft_rows: entries in the draft's cache before its last forward pass; None if no draft ran.
        time: when the request started, UTC.
        host: see :func:`dynatree.benchmark.host_load.read_host`, during the request.
        passes: for the "target" and the "draft", [new tokens, cached entries] of each forward pass, with prefills.
        trace: see :func:`dynatree.benchmark.round_traces.generate_traced`; None for Hugging Face methods and in jobs
            without traces.
    """

    session: str
    baseline: str
    prompt: str
    article: str
    prompt_tokens: int
    prompt_sha256: str
    group: str
    case: str
    repetition: int
    order: int
    tokens: list[int]
    divergence: int | None
    margin: float | None
    seconds: dict[str, float]
    rounds: int
    draft_forwards: int | None
    verified: int | None
    accepted: int | None
    drafted_depth: int | None
    draft_rows: int | None
    time: str
    host: dict[str, float | None]
    passes: dict[str, list[list[int]]]
    trace: dict | None = None

    @property
    def key(self) -> tuple[int, str, str, str]:
        """Identity of the request within its job."""
        return self.repetition, self.prompt, self.group, self.case


@dataclass
class Measurement:
    """The records of a job that count for a run.

    Attributes:
        job: the job, with the options of all cases.
        sessions: id -> description of the session, for every session that a record names, in the order of the journal.
        records: one per request; of the baseline one per session that others are paired with.
        disturbed: the flagged requests: identity, slow-downs, and "kept" if a flagged one counts for lack of a better.
    """

    job: Job
    sessions: dict[str, dict]
    records: list[Record]
    disturbed: list[dict]

    @property
    def latest(self) -> dict:
        """Return the session that began last, whatever its clock said."""
        return list(self.sessions.values())[-1]


class Journal:
    """All finished requests of a job, one line each, in a file that only grows.

    Each measuring process is a session. It writes one line before its records: its job, machine, code, models and
    versions.

    Args:
        path: the journal's file; it need not exist.

    Attributes:
        sessions: id -> description of the session.
        records: the records of all sessions in the order in which they finished.
    """

    def __init__(self, path: Path):
        self.path = path
        self.sessions: dict[str, dict] = {}
        self.records: list[Record] = []
        damaged = sum(not self._read(line) for line in path.read_bytes().splitlines()) if path.exists() else 0
        if damaged:
            print(f"{path}: {damaged} damaged line(s) left out; these requests are measured again", file=sys.stderr)

    def _read(self, line: bytes) -> bool:
        """Add a line; return False if it is incomplete or damaged."""
        try:
            content = json.loads(line)
            if "about" in content:
                self.sessions[content["session"]] = content["about"]
                return True
            record = Record(**content)
        except (ValueError, TypeError):
            return False
        if record.session in self.sessions:
            self.records.append(record)
        return record.session in self.sessions

    def begin(self, about: dict) -> str:
        """Begin a session and return its id."""
        session = f"{about['started']}-{secrets.token_hex(3)}"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not self.path.read_bytes().endswith(b"\n"):
            self._append("\n")
        self._append(json.dumps({"session": session, "about": about}) + "\n")
        self.sessions[session] = about
        return session

    def add(self, record: Record) -> None:
        """Append a record and flush it to disk."""
        self._append(json.dumps(asdict(record)) + "\n")
        self.records.append(record)

    def _append(self, text: str) -> None:
        with self.path.open("a") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())


def write_records(path: Path, measurement: Measurement) -> None:
    """Write a finished measurement."""
    content = {"job": measurement.job.to_json(), "sessions": measurement.sessions, "disturbed": measurement.disturbed}
    write_json(path, content | {"records": [asdict(record) for record in measurement.records]})


def read_records(path: Path) -> Measurement:
    """Read a finished measurement.

    Raises:
        DynatreeError: the file is missing, damaged, or not a measurement. A damaged file is set aside as
            ``*.damaged``, so that the next run makes it again from the journal.
    """
    try:
        content = read_json(path, "run the pipeline again, which makes it from its journal")
        records = [Record(**record) for record in content["records"]]
        return Measurement(Job.from_json(content["job"]), content["sessions"], records, content["disturbed"])
    except DynatreeError:
        _set_aside(path)
        raise
    except (KeyError, TypeError) as error:
        _set_aside(path)
        names = ", ".join(field.name for field in fields(Record))
        raise DynatreeError(
            f"{path} is not a file of records with {names}: {error}; run the pipeline again, which makes it anew"
        ) from error


def _set_aside(path: Path) -> None:
    if path.exists():
        path.replace(path.with_name(f"{path.name}.damaged"))


def pair_with_baselines(
    records: Iterable[Record], baselines: Iterable[Record], sessions: Iterable[str]
) -> list[Record]:
    """Set each record's baseline session: its own, or else the first later session with that baseline.

    Args:
        records: records of other cases than the baseline.
        baselines: records of the baseline, in the order of the journal.
        sessions: ids of all sessions in the order of the journal. Their times may jump with the clock.

    Returns:
        The records and their baselines in the order of the job.
    """
    position = {session: index for index, session in enumerate(sessions)}
    found: dict[tuple, list[Record]] = {}
    for baseline in baselines:
        found.setdefault(baseline.key[:3], []).append(baseline)
    needed = {}
    for record in records:
        others = found[record.key[:3]]
        chosen = next((one for one in others if position[one.session] >= position[record.session]), others[-1])
        record.baseline = chosen.session
        needed[chosen.key, chosen.session] = chosen
    return sorted([*records, *needed.values()], key=lambda record: (record.order, position[record.session]))
