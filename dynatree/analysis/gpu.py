"""A proof on a GPU in the README and in the paper: its machine, throughput, and forward passes. Does not import torch.

``make gpu-proof`` writes rows as JSON lines, see docs/gpu.md. The snapshot keeps them beside the tables made here.
"""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from dynatree.analysis.tables.booktabs import number
from dynatree.errors import DynatreeError
from dynatree.utils.files import write_json

RATES, PASSES, FACTS = "rates.csv", "passes.csv", "facts.json"
PLAIN, RECORDED, ORDINARY, PEERS = "autoregressive", "graphs", "stock", "huggingface"
COLUMNS = [
    *("pair", "setting", "ordinary", "static", "plain", "best", "best_rate", "speedup", "cost_aware", "exact"),
    "requests",
]


def keep_proof(proof: Path, snapshot: Path, any_device: bool = False) -> None:
    """Replace a snapshot by the rows of a proof and tables of them: throughput, forward passes, and the machine.

    Args:
        proof: folder of the rows.
        snapshot: folder of the snapshot.
        any_device: True to accept a proof on a CPU, which checks the program and measures nothing.

    Raises:
        DynatreeError: the rows are missing, or not from a GPU.
    """
    probed = _rows(proof / "probe.jsonl")
    machine = next((row for row in probed if row["kind"] == "machine"), None)
    if machine is None:
        raise DynatreeError(f"{proof}/probe.jsonl does not describe a machine; run make gpu-proof")
    if machine["device"] == "CPU" and not any_device:
        raise DynatreeError(f"{proof} holds a proof on a CPU, which measures nothing; run make gpu-proof on a GPU")
    rates = [*_rates(proof / "scripted.jsonl", "acceptance"), *_rates(proof / "embedded.jsonl", "dtype")]
    copied = next((row["per_second"] for row in probed if row.get("name") == "copy"), None)
    passes = _passes(proof / "passes.jsonl", copied)
    tests = (proof / "tests.txt").read_text().splitlines() if (proof / "tests.txt").exists() else []
    facts = {"machine": machine, "tests": tests[-1].strip("= ") if tests else "not run"}
    shutil.rmtree(snapshot, ignore_errors=True)
    shutil.copytree(proof, snapshot)
    pd.DataFrame(rates, columns=COLUMNS).to_csv(snapshot / RATES, index=False)
    passes.to_csv(snapshot / PASSES, index=False)
    write_json(snapshot / FACTS, facts)


def _rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _rates(path: Path, factor: str) -> list[dict]:
    """Return the throughput in each setting of a section: the medians of requests decoded one at a time."""
    measured = [row for row in _rows(path) if "tokens_per_second" in row and row.get("batch", 1) == 1]
    if not measured:
        return []
    frame = pd.DataFrame(measured)
    frame["exact"] = frame["exact"] if "exact" in frame else frame["divergence"].isna()
    found = []
    for setting, part in frame.groupby(factor, sort=False):
        medians = part.groupby(["engine", "case"])["tokens_per_second"].median()
        ours = medians[RECORDED]
        drafted = ours.drop(PLAIN)
        found.append(
            {
                "pair": path.stem,
                "setting": setting,
                "ordinary": medians[ORDINARY, PLAIN],
                "static": medians.get((PEERS, "static"), float("nan")),
                "plain": ours[PLAIN],
                "best": drafted.idxmax(),
                "best_rate": drafted.max(),
                "speedup": drafted.max() / ours[PLAIN],
                "cost_aware": ours["cost_aware"] / drafted.drop("cost_aware").max(),
                "exact": int(part["exact"].sum()),
                "requests": len(part),
            }
        )
    return found


def _passes(path: Path, copied: float | None) -> pd.DataFrame:
    """Return the forward passes with their share of the memory floor: read bytes over copied bytes per second."""
    names = ["model", "backend", "context", "new", "ms", "bytes", "kernels"]
    frame = pd.DataFrame([row for row in _rows(path) if row["kind"] == "pass"], columns=names)
    frame["share"] = float("nan") if copied is None else frame["bytes"] / copied / (frame["ms"] / 1e3)
    return frame


def readme_lines(folder: Path) -> str:
    """Return at most eight lines of the README: the machine and the throughput on both pairs.

    Args:
        folder: see :func:`keep_proof`.
    """
    facts, rates = json.loads((folder / FACTS).read_text()), pd.read_csv(folder / RATES)
    machine = facts["machine"]
    shown = pd.concat([rates[rates["pair"] == "scripted"], rates[rates["setting"] == "float16"]])
    lines = [
        f"Measured by `make gpu-proof` on {machine['device']}, torch {machine['versions']['torch']}, commit "
        f"{machine['commit'][:7]}. Tests: {facts['tests']}. Pythia-2.8B has random weights and scripted acceptance.",
        "",
        "| Pair | Plain, ordinary | Plain, HF static | Plain, recorded | Best method | Speed-up over recorded |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in shown.itertuples():
        cells = [number(value, 0) for value in (row.ordinary, row.static, row.plain)]
        best = f"{row.best} {number(row.best_rate, 0)}"
        lines.append(f"| {' | '.join([label(row.pair, row.setting), *cells, best, number(row.speedup, 2)])} |")
    return "\n".join(lines) + "\n"


def label(pair: str, setting: object) -> str:
    """Return the name of a row of the rates."""
    return f"Pythia-2.8B, acceptance {setting}" if pair == "scripted" else f"SmolLM2-135M, {setting}"


def paper_facts(files: dict[str, Path]) -> SimpleNamespace | None:
    """Return what the paper prints of the proof; None if it has not run.

    Args:
        files: result files by name, see :class:`dynatree.analysis.paper.Results`.
    """
    known = {name: files.get(f"snapshots/gpu/{name}") for name in (RATES, PASSES, FACTS)}
    rates, passes, facts = known.values()
    if rates is None or passes is None or facts is None:
        return None
    about, measured = json.loads(facts.read_text()), pd.read_csv(passes)
    first = measured[(measured["model"] == "target") & (measured["new"] == 1)].sort_values("context")
    rows = pd.read_csv(rates)
    return SimpleNamespace(
        machine=about["machine"],
        tests=about["tests"],
        rates=[SimpleNamespace(**row, label=label(row["pair"], row["setting"])) for row in rows.to_dict("records")],
        narrow={row["backend"]: SimpleNamespace(**row) for row in first.to_dict("records")},  # at the largest context
    )
