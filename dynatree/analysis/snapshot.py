"""The README's tables of a real run."""

import json
from pathlib import Path

import pandas as pd

from dynatree.analysis.tables.booktabs import number

HEADER = ("Method", "Tokens/s", "Speed-up", "Tokens/round", "Acceptance", "TTFT (ms)", "TPOT (ms)")
DECIMALS = {"throughput": 1, "speedup": 2, "tokens_per_round": 2, "acceptance_rate": 2, "ttft_ms": 0, "tpot_ms": 1}


def markdown(folder: Path) -> str:
    """A snapshot as Markdown: where it was measured, a table per data set, and the claims that it decides."""
    tables = [_machine(json.loads((folder / "facts.json").read_text())["environment"])]
    for label, rows in pd.read_csv(folder / "main.csv").groupby("dataset_label", sort=False):
        prompts, new_tokens = rows[["prompts", "new_tokens"]].iloc[0]
        lines = [
            f"{label}: {prompts} prompts, {new_tokens} new tokens each",
            "",
            f"| {' | '.join(HEADER)} |",
            f"|---|{'---:|' * (len(HEADER) - 1)}",
            *(_row(row) for _, row in rows.iterrows()),
        ]
        tables.append("\n".join(lines))
    return "\n\n".join([*tables, _claims(pd.read_csv(folder / "claims.csv"))]) + "\n"


def _claims(ledger: pd.DataFrame) -> str:
    """How many claims of the original hold in this run, and those that are decided."""
    counts = [
        f"{(ledger['verdict'] == verdict).sum()} {verdict}" for verdict in ("confirmed", "refuted", "inconclusive")
    ]
    decided = ledger[ledger["verdict"] != "inconclusive"].sort_values("verdict", kind="stable")
    rows = [f"| {row['text']} | {_value(row)} | {row['verdict']} |" for _, row in decided.iterrows()]
    return "\n".join(
        [
            f"The {len(ledger)} claims of the original in this run: {', '.join(counts)}. Those that it decides:",
            "",
            "| Claim | Here | Verdict |",
            "|---|---:|---|",
            *rows,
        ]
    )


def _value(row: pd.Series) -> str:
    if pd.isna(row["value"]):
        return "-"
    if row["low"] == row["high"]:
        return f"{row['value']:.3g}"
    return f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _machine(environment: dict) -> str:
    cores, processor, threads = (environment[key] for key in ("cores", "processor", "threads"))
    versions = " and ".join(f"{name} {environment['versions'][name]}" for name in ("torch", "transformers"))
    return (
        f"Measured on {environment['device']} with {threads} threads ({processor}, {cores} cores), {versions}, "
        f"commit {environment['commit'][:7]}."
    )


def _row(row: pd.Series) -> str:
    cells = [row["label"]]
    for name, decimals in DECIMALS.items():
        cell = number(row[name], decimals)
        if f"{name}_low" in row:
            cell += f" [{number(row[f'{name}_low'], decimals)}, {number(row[f'{name}_high'], decimals)}]"
        cells.append(cell.replace("--", "-"))
    return f"| {' | '.join(cells)} |"
