"""Raw records of a measurement: what is stored, the journal that survives interruptions, and reading them back."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.files import read_json, write_json


@dataclass
class Record:
    """One request: a prompt continued by a method.

    Attributes:
        prompt: id of the prompt.
        prompt_tokens: its length.
        group: the group of cases it belongs to, which share the baseline.
        case: key of the case within its group.
        repetition: 0, 1, ...
        order: number of the request in the job, in the order they ran.
        tokens: the emitted ids.
        divergence: index of the first token that differs from autoregressive decoding; None if none does. A journal
            may hold None because the baseline had yet to run.
        margin: largest gap in logits between a teacher-forced argmax and an emitted token; None in float32.
        seconds: "total" and "ttft"; for methods of this package also "prefill", "draft", "verify" and "other".
        rounds: target forwards after prefill.
        draft_forwards, verified, accepted, drafted_depth: see :class:`dynatree.decoding.Stats`; None where a
            reference does not tell.
        load: load average of the machine before the request.
    """

    prompt: str
    prompt_tokens: int
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
    load: float

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What identifies the request within its job."""
        return self.prompt, self.group, self.case, self.repetition


class Journal:
    """Finished records of a job that still runs, one line each; a restart of the same job goes on after them.

    Args:
        path: the journal's file.
        meta: what the job measures and where. A journal whose meta differs is set aside as ``*.superseded``.
    """

    def __init__(self, path: Path, meta: dict):
        self.path = path
        self.records = self._resume(meta)
        if not self.records:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(meta) + "\n")

    def _resume(self, meta: dict) -> list[Record]:
        if not self.path.exists():
            return []
        lines = self.path.read_text().split("\n")
        if _parse(lines[0]) != json.loads(json.dumps(meta)):
            aside = self.path.with_suffix(".superseded")
            self.path.replace(aside)
            print(f"the journal is of another measurement; kept as {aside}", file=sys.stderr)
            return []
        # The last line is empty, or torn by an interruption: what counts is whole lines.
        records = [Record(**_parse(line)) for line in lines[1:-1]]
        self.path.write_text("\n".join(lines[: len(records) + 1]) + "\n")
        print(f"continuing after {len(records)} finished records", file=sys.stderr)
        return records

    def add(self, record: Record) -> None:
        """Append a record and make sure it is on disk."""
        with self.path.open("a") as stream:
            stream.write(json.dumps(asdict(record)) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.records.append(record)

    def close(self) -> None:
        """Remove the journal, when its records are safe elsewhere."""
        self.path.unlink()


def write_records(path: Path, meta: dict, records: list[Record]) -> None:
    """Write a finished measurement."""
    write_json(path, {"meta": meta, "records": [asdict(record) for record in records]})


def read_records(path: Path) -> tuple[dict, list[Record]]:
    """Read a finished measurement.

    Raises:
        DynatreeError: the file is missing, damaged, or not a measurement.
    """
    content = read_json(path, "delete it and run the pipeline again")
    try:
        return content["meta"], [Record(**record) for record in content["records"]]
    except (KeyError, TypeError) as error:
        names = ", ".join(field.name for field in fields(Record))
        raise DynatreeError(f"{path} is not a file of records with {names}: {error}") from error


def requests(prompts: list[dict], groups: dict, repetitions: int) -> Iterator[tuple[int, dict, str, str]]:
    """All requests of a job in order: (repetition, prompt, group, case), all cases interleaved within each prompt.

    The case that goes first changes from prompt to prompt, so that none always runs on a warm or a cold machine.
    """
    cases = [(name, case) for name, group in groups.items() for case in group["cases"]]
    for repetition in range(repetitions):
        for index, prompt in enumerate(prompts):
            first = (index + repetition) % len(cases)
            for group, case in cases[first:] + cases[:first]:
                yield repetition, prompt, group, case


def _parse(line: str) -> dict | None:
    try:
        return json.loads(line)
    except ValueError:
        return None
