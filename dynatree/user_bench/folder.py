"""The folder of a benchmark: written, verified, and compared with folders of other machines."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from dynatree.benchmark.records import Measurement, Record, read_records, write_records
from dynatree.benchmark.session import first_difference
from dynatree.config.jobs import BASELINE
from dynatree.errors import DynatreeError
from dynatree.user_bench.measure import Run
from dynatree.user_bench.report import csv_text, figure_png, page
from dynatree.user_bench.results import Row, recommend, rows_of
from dynatree.utils.files import MANIFEST, read_json, read_manifest, sha256, write_bytes, write_json, write_text

FORMAT = 1
SUMMARY = "bench.json"
TOLERANCE = 1e-9  # relative difference of a recomputed number


def write_folder(run: Run, folder: Path) -> None:
    """Write the records, the summary, a CSV, a figure and a page of a benchmark, with the hashes of all files.

    Args:
        run: a benchmark with results, complete or not.
        folder: receives the files beside its journals.
    """
    rows = rows_of(run.measurements)
    drafts = {arm.name: arm.draft for arm in run.arms}
    found = recommend(run.measurements, run.plan.target, drafts)
    names = []
    for number, (arm, measurement) in enumerate(run.measurements.items()):
        names.append({"arm": arm, "records": f"records-{number}.json"})
        write_records(folder / names[-1]["records"], measurement)
    about = _about(run)
    summary = {
        "format": FORMAT,
        "about": about,
        "complete": run.finished == run.planned,
        "arms": names,
        "rows": [row.to_json() for row in rows],
        "recommendation": {"words": found.words, "code": found.code} if found else None,
    }
    write_json(folder / SUMMARY, summary)
    write_text(folder / "results.csv", csv_text(rows))
    png = figure_png(rows, f"{about['target']} on {about['processor']}")
    write_bytes(folder / "speedup.png", png)
    write_text(folder / "index.html", page(rows, found, about, png))
    files = [SUMMARY, "results.csv", "speedup.png", "index.html", *(one["records"] for one in names)]
    write_text(folder / MANIFEST, "".join(f"{sha256(folder / name)}  {name}\n" for name in sorted(files)))


def _about(run: Run) -> dict[str, Any]:
    """Return what describes a benchmark; folders of a user's machine stay out of it."""
    session = next(iter(run.measurements.values())).latest
    machine, job = session["environment"], next(iter(run.measurements.values())).job
    return {
        "target": session["models"]["target"]["folder"],
        "parameters": session["models"]["target"]["parameters"],
        "processor": machine["device"] if machine["device"] != "CPU" else machine["processor"],
        "threads": machine["threads"],
        "dtype": job.dtype,
        "backend": job.backend,
        "workload": run.plan.workload,
        "new_tokens": run.plan.new_tokens,
        "prompts": job.prompts,
        "repetitions": job.repetitions,
        "versions": machine["versions"],
        "date": session["started"][:10],
    }


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Measurement]]:
    """Return the summary and the measurements of a folder.

    Raises:
        DynatreeError: a file is missing, damaged, or of another format.
    """
    summary = read_json(folder / SUMMARY, "it is not a folder of dynatree bench")
    if not isinstance(summary, dict) or summary.get("format") != FORMAT:
        raise DynatreeError(f"{folder / SUMMARY} has no format {FORMAT}; use the version of dynatree that wrote it")
    try:
        found = {one["arm"]: read_records(_inside(folder, one["records"])) for one in summary["arms"]}
    except (KeyError, TypeError) as error:
        raise DynatreeError(f"{folder / SUMMARY} is incomplete: {error}") from error
    return summary, found


def _inside(folder: Path, name: str) -> Path:
    """Return the path of a file of a folder; raise if it lies outside."""
    if Path(name).name != name:
        raise DynatreeError(f"{folder / SUMMARY} names {name!r}, which lies outside of the folder")
    return folder / name


def verify(folder: Path) -> list[str]:
    """Return what is wrong with a folder of somebody else; an empty list if nothing is.

    Hashes are compared, and counts, tokens and intervals are recomputed from the raw records.

    Args:
        folder: folder that :func:`write_folder` wrote.

    Raises:
        DynatreeError: a file is missing or damaged.
    """
    wrong: list[str] = []
    if not (folder / MANIFEST).is_file():
        raise DynatreeError(f"{folder / MANIFEST} is missing; it is not a folder of dynatree bench")
    for name, digest in read_manifest(folder).items():
        path = _inside(folder, name)
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif sha256(path) != digest:
            wrong.append(f"{name} differs from its hash")
    if wrong:
        return wrong
    summary, measurements = read_folder(folder)
    for arm, measurement in measurements.items():
        wrong += [f"{arm}: {problem}" for problem in _problems(measurement)]
    recomputed = [row.to_json() for row in rows_of(measurements)]
    if len(recomputed) != len(summary["rows"]):
        wrong.append(f"the summary has {len(summary['rows'])} rows, but the records give {len(recomputed)}")
        return wrong
    for ours, theirs in zip(recomputed, summary["rows"], strict=True):
        wrong += [
            f"{ours['method']} ({ours['draft']}): {name} is {theirs.get(name)}, but the records give {value}"
            for name, value in ours.items()
            if not _equal(value, theirs.get(name))
        ]
    return wrong


def _equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float) and isinstance(theirs, int | float):
        return math.isclose(ours, theirs, rel_tol=TOLERANCE)
    return ours == theirs


def _problems(measurement: Measurement) -> list[str]:
    """Return contradictions within the records of an arm."""
    wrong: list[str] = []
    baselines = {(one.prompt, one.session): one.tokens for one in measurement.records if one.case == BASELINE}
    for record in measurement.records:
        name = f"{record.case}, prompt {record.prompt}"
        new = measurement.job.groups[record.group].new_tokens
        expected = baselines.get((record.prompt, record.baseline))
        if len(record.tokens) != new:
            wrong.append(f"{name}: {len(record.tokens)} tokens instead of {new}")
        if expected is None:
            wrong.append(f"{name}: its baseline is missing")
            continue
        difference = first_difference(record.tokens, expected)
        if difference != record.divergence:
            wrong.append(f"{name}: the first difference is {difference}, not {record.divergence}")
        if difference is not None and measurement.job.must_equal(record.group, record.case):
            wrong.append(f"{name}: its tokens differ from plain decoding")
        wrong += [f"{name}: {problem}" for problem in _count_problems(record)]
    return wrong


def _count_problems(record: Record) -> list[str]:
    """Return contradictions between the counts, the forward passes and the tokens of a request."""
    wrong: list[str] = []
    passes = len(record.passes["target"]) - 1
    if passes != record.rounds:
        wrong.append(f"{record.rounds} rounds, but {passes} forward passes of the target after the prompt")
    if record.accepted is not None and record.verified is not None:
        if not 0 <= record.accepted <= record.verified:
            wrong.append(f"{record.accepted} accepted of {record.verified} verified nodes")
        emitted = len(record.tokens) - 1
        if not record.accepted <= emitted <= record.accepted + record.rounds:
            wrong.append(f"{emitted} tokens after the first from {record.accepted} accepted and {record.rounds} rounds")
        nodes = sum(new - 1 for new, _ in record.passes["target"][1:])
        if nodes != record.verified:
            wrong.append(f"{record.verified} verified nodes, but forward passes over {nodes}")
    if not 0 < record.seconds["ttft"] <= record.seconds["total"]:
        wrong.append(f"{record.seconds['ttft']} s to the first of {record.seconds['total']} s")
    return wrong


def compare_folders(folders: list[Path]) -> str:
    """Return one table of several folders: the speed-up of each method and draft on each machine."""
    columns: list[str] = []
    table: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for folder in folders:
        summary, measurements = read_folder(folder)
        about = summary["about"]
        column = f"{about['processor']}, {about['threads']} threads, {about['dtype']}"
        column += f", {about['workload']}" if "workload" in about else ""
        column = column if column not in columns else f"{column} ({folder.name})"
        columns.append(column)
        for row in rows_of(measurements):
            table[about["target"], row.label, row.draft][column] = _short(row)
    lines = [["target", "method", "draft", *columns]]
    lines += [[*key, *(cells.get(column, "-") for column in columns)] for key, cells in table.items()]
    return "\n".join(
        [
            "| " + " | ".join(lines[0]) + " |",
            "|" + "---|" * 3 + "---:|" * len(columns),
            *("| " + " | ".join(line) + " |" for line in lines[1:]),
        ]
    )


def _short(row: Row) -> str:
    if math.isnan(row.low):
        return f"{row.speedup:.2f}x"
    return f"{row.speedup:.2f}x [{row.low:.2f}, {row.high:.2f}]"
