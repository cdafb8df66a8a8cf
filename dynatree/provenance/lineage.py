"""The lineage of a file: the chain of inputs back to raw records and models, read from provenance notes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.provenance.notes import hash_of, note_path
from dynatree.provenance.number_search import occurrences, read_sessions, requests_behind
from dynatree.utils.files import MANIFEST, read_json, read_manifest

SHOWN = 8  # occurrences in a file
WIDTH = 160  # characters of a configuration slice
LIBRARIES = ("python", "torch", "transformers", "numpy", "scipy", "pandas", "matplotlib", "jinja2")


def trace(path: Path, value: str | None = None) -> list[str]:
    """Return lines that name the inputs and the script of a file, back to raw records and models.

    Args:
        path: A file that the pipeline made, or the folder of a fetched model.
        value: A number as it is printed. Only files in which it occurs are followed; None follows all files.

    Returns:
        One line per fact, indented by the distance from the file.

    Raises:
        DynatreeError: The file has no note, or the number occurs nowhere.
    """
    path = path / MANIFEST if path.is_dir() else path
    note = _read_note(path)
    if note is None:
        raise DynatreeError(
            f"{path} has no note {note_path(path)}: it is missing, or was made outside the pipeline or before the "
            "pipeline left notes; make it again with snakemake"
        )
    root, name = _locate(path, note)
    chain = _Chain(root, value)
    lines = list(chain.file(name, note["outputs"][name]))
    if value is not None and not chain.found:
        raise DynatreeError(f"{value} occurs in none of the files that {path} is made from; give it as it is printed")
    return lines


def _read_note(path: Path) -> dict | None:
    note = note_path(path)
    return read_json(note, "make the file again with snakemake") if note.exists() else None


def _locate(path: Path, note: dict) -> tuple[Path, str]:
    """Return the directory to which the paths of a note are relative, and the path of the file below it."""
    absolute = Path(os.path.abspath(path)).as_posix()
    for name in note["outputs"]:
        if absolute == name or absolute.endswith(f"/{name}"):
            return Path(absolute.removesuffix(name)), name
    raise DynatreeError(f"{path} has been moved: its note names {', '.join(note['outputs'])}; trace it there")


class _Chain:
    """A walk along the notes.

    Args:
        root: directory to which all paths are relative.
        value: the number to follow; None follows everything.
    """

    def __init__(self, root: Path, value: str | None):
        self.root = root
        self.value = value
        self.shown: set[str] = set()
        self.found = False

    def file(self, name: str, recorded: str, depth: int = 0) -> Iterator[str]:
        """Yield the lines on a file and its inputs; ``recorded`` is its hash when it was last used."""
        path, margin = self.root / name, "  " * depth
        if name in self.shown:
            yield f"{margin}{name}: see above"
            return
        self.shown.add(name)
        note = _read_note(path)
        yield f"{margin}{name}: {self._state(name, recorded, note)}"
        for line in self._details(path, note):
            yield f"{margin}  | {line}"
        inputs = self._inputs(path, note)
        if self._has_value(path) and note and not inputs:
            yield f"{margin}  | computed here from {_few(note['inputs'])}"
        for source, digest in inputs:
            yield from self.file(source, digest, depth + 1)

    def _state(self, name: str, recorded: str, note: dict | None) -> str:
        path = self.root / name
        if not path.exists():
            return "MISSING"
        digest = hash_of(path)
        if note and note["outputs"].get(name) != digest:
            return "CHANGED since it was made"
        if digest != recorded:
            return "CHANGED since it was used"
        return "unchanged" if note else "unchanged, a source"

    def _details(self, path: Path, note: dict | None) -> Iterator[str]:
        if note:
            yield from _making(note)
        if not path.exists():
            return
        if path.name == MANIFEST:
            yield from (f"{name} {digest[:16]}" for name, digest in read_manifest(path.parent).items())
        yield from _sessions(path)
        if self.value is not None:
            yield from self._matches(path, self.value, note)

    def _matches(self, path: Path, value: str, note: dict | None) -> Iterator[str]:
        found = occurrences(path, value)
        self.found |= bool(found)
        for occurrence in found[:SHOWN]:
            yield f"{value} in {occurrence.text}"
            yield from self._raw(occurrence.row, note)
            yield from self._claim(occurrence.row, note)
        if len(found) > SHOWN:
            yield f"and {len(found) - SHOWN} more"

    def _raw(self, row: dict[str, str], note: dict | None) -> Iterator[str]:
        """Yield the raw records behind a row that names its job, and the file with a row per request."""
        if not note or not row.get("job"):
            return
        for name in (name for name in note["inputs"] if Path(name).name == f"{row['job']}.json"):
            for session, prompts in requests_behind(row, self.root / name).items():
                yield f"  from {name}, session {session}: {row['case']} on {', '.join(prompts)}"
            yield from (f"  request by request in {other}" for other in note["outputs"] if "/requests/" in other)

    def _claim(self, row: dict[str, str], note: dict | None) -> Iterator[str]:
        """Yield the raw records behind the verdict on a claim."""
        if not note or "verdict" not in row:
            return
        claims = note["arguments"].get("claims")
        if not claims:
            return
        from dynatree.analysis.claim_requests import requests_of_claim

        requests = [self.root / name for name in note["inputs"] if "/requests/" in name]
        for path, compared in requests_of_claim(row["id"], self.root / claims, requests).items():
            for about in compared:
                yield from self._raw(about, _read_note(path))

    def _inputs(self, path: Path, note: dict | None) -> list[tuple[str, str]]:
        inputs = list(note["inputs"].items()) if note else []
        if self.value is None:
            return inputs
        return [(name, digest) for name, digest in inputs if self._has_value(self.root / name)]

    def _has_value(self, path: Path) -> bool:
        return self.value is not None and path.exists() and bool(occurrences(path, self.value))


def _few(names: dict[str, str]) -> str:
    return ", ".join([*names][:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _making(note: dict) -> Iterator[str]:
    changes = " with uncommitted changes" if note["uncommitted_changes"] else ""
    yield f"made by {note['script']}, code {note['code']}, commit {note['commit'][:12]}{changes}"
    yield f"{note['finished']} on {note['machine']} ({note['processor']}, threads {note['threads'] or 'not set'})"
    yield _versions(note["versions"])
    given = _settings(note)
    if given:
        yield f"given {given}"


def _settings(note: dict) -> str:
    """Return the arguments that are no paths of inputs or outputs, shortened."""
    files = {*note["inputs"], *note["outputs"]}
    paths = files | {parent.as_posix() for name in files for parent in Path(name).parents}

    def is_path(value) -> bool:
        return value in paths if isinstance(value, str) else isinstance(value, list) and all(map(is_path, value))

    kept = {name: value for name, value in note["arguments"].items() if value is not None and not is_path(value)}
    text = ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in kept.items())
    return text if len(text) <= WIDTH else f"{text[:WIDTH]} ..."


def _sessions(path: Path) -> Iterator[str]:
    measured = read_sessions(path)
    if measured is None:
        return
    sessions, records = measured
    for name, about in sessions.items():
        environment = about["environment"]
        count = sum(record["session"] == name for record in records)
        yield f"session {name}: {count} records, code {about['code']}, commit {environment['commit'][:12]}"
        yield f"  started {about['started']} on {environment['machine']}, {environment['threads']} threads"
        yield f"  {_versions(environment['versions'])}"


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in LIBRARIES if name in versions)
