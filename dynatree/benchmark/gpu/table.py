"""Section "table": a short summary of all other sections."""

from collections import defaultdict
from pathlib import Path
from statistics import median

from dynatree.benchmark.gpu.output import Row, rows


def table(folder: Path) -> str:
    """Return a summary of the rows in a folder, as Markdown."""
    parts = [_machine(rows(folder / "probe.jsonl")), _tests(folder / "tests.txt")]
    parts += [_passes(rows(folder / "passes.jsonl"), _copy(rows(folder / "probe.jsonl")))]
    parts += [
        _rates("Pythia shapes, random weights, scripted acceptance", rows(folder / "scripted.jsonl"), "acceptance")
    ]
    parts += [_rates("Embedded pair, real weights", rows(folder / "embedded.jsonl"), "dtype")]
    parts += [_memory(rows(folder / "memory.jsonl")), _errors(folder)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _errors(folder: Path) -> str:
    """Return the sections that ended before all measurements."""
    lines = [
        f"- {path.stem}: {row.get('message') or str(row['left_out']) + ' measurements left out for lack of time'}"
        for path in sorted(folder.glob("*.jsonl"))
        for row in rows(path)
        if row["kind"] in ("error", "limit")
    ]
    return "\n".join(["## Incomplete sections", "", *lines]) if lines else ""


def _copy(probed: list[Row]) -> float | None:
    return next((row["per_second"] for row in probed if row.get("name") == "copy"), None)


def _machine(probed: list[Row]) -> str:
    machine = next((row for row in probed if row["kind"] == "machine"), {})
    lines = [f"# Proof on {machine.get('device', 'an unknown device')}", ""]
    lines += [f"- commit {machine.get('commit')}, versions {machine.get('versions')}, GPU {machine.get('gpu')}"]
    lines += [f"- {row['name']}: {row['per_second']:.3g} per second" for row in probed if row["kind"] == "ceiling"]
    for row in probed:
        if row["kind"] == "lengths":
            cudnn = "with" if row["cudnn"] else "without"
            lines.append(f"- attention over successive lengths {cudnn} cuDNN: {median(row['milliseconds']):.3g} ms")
    return "\n".join(lines)


def _tests(path: Path) -> str:
    lines = path.read_text().splitlines() if path.exists() else []
    return f"Tests: {lines[-1]}" if lines else ""


def _passes(measured: list[Row], copy: float | None) -> str:
    lines = [
        "| model | backend | context | new | ms | share of the memory floor | kernels |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in measured:
        if row["kind"] == "pass":
            share = "" if copy is None else f"{1e5 * row['bytes'] / copy / row['ms']:.0f} %"
            names = [
                row["model"],
                row["backend"],
                row["context"],
                row["new"],
                f"{row['ms']:.3f}",
                share,
                row["kernels"],
            ]
            lines.append(f"| {' | '.join(map(str, names))} |")
    return "\n".join(["## Forward passes", "", *lines]) if len(lines) > 2 else ""


def _rates(title: str, measured: list[Row], factor: str) -> str:
    """Median tokens per second of each case, by one factor and the size of the batch, and exactness."""
    found: dict[tuple, list[Row]] = defaultdict(list)
    for row in measured:
        if "tokens_per_second" in row:
            found[row[factor], row["engine"], row["case"], row.get("batch", 1)].append(row)
    if not found:
        return ""
    lines = [f"| {factor} | engine | case | batch | tokens/s | exact |", "|---|---|---|--:|--:|--:|"]
    for names, group in found.items():
        exact = sum(row.get("exact", row.get("divergence") is None) for row in group)
        rate = median(row["tokens_per_second"] for row in group)
        lines.append(f"| {' | '.join(map(str, names))} | {rate:.1f} | {exact}/{len(group)} |")
    return "\n".join([f"## {title}", "", *lines])


def _memory(measured: list[Row]) -> str:
    lines = [
        f"| {row['engine']} | {row['case']} | {row['peak_mib']:.1f} |" for row in measured if row["kind"] == "memory"
    ]
    head = ["## Peak memory", "", "| engine | case | MiB |", "|---|---|--:|"]
    return "\n".join([*head, *lines]) if lines else ""
