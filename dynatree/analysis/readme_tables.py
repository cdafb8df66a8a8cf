"""The README's tables of a real run."""

import json
from pathlib import Path

import pandas as pd

from dynatree.analysis.tables.booktabs import number

HEADER = ("Method", "Tokens/s", "Speed-up", "Tokens/round", "Acceptance", "TTFT (ms)", "TPOT (ms)")
DECIMALS = {"throughput": 1, "speedup": 2, "tokens_per_round": 2, "acceptance_rate": 2, "ttft_ms": 0, "tpot_ms": 1}
PEERS = ("Method", "Speed-up", "Throughput over it", "Tokens/round")
PEERS_DECIMALS = {"speedup": 2, "over": 2, "tokens_per_round": 2}


def markdown(folder: Path) -> str:
    """A snapshot as Markdown: where it was measured, peers, a table per data set, and the claims that it decides."""
    tables = [
        _machine(json.loads((folder / "facts.json").read_text())["environment"]),
        _peers(pd.read_csv(folder / "peers.csv")),
    ]
    for label, rows in pd.read_csv(folder / "main.csv").groupby("dataset_label", sort=False):
        prompts, new_tokens = rows[["prompts", "new_tokens"]].iloc[0]
        lines = [
            f"{label}: {prompts} prompts, {new_tokens} new tokens each",
            "",
            f"| {' | '.join(HEADER)} |",
            f"|---|{'---:|' * (len(HEADER) - 1)}",
            *(_row(row, DECIMALS) for _, row in rows.iterrows()),
        ]
        tables.append("\n".join(lines))
    return "\n\n".join([*tables, _claims(pd.read_csv(folder / "claims.csv"))]) + "\n"


def _peers(peers: pd.DataFrame) -> str:
    """Every lossless method on all data sets together, at the largest number of new tokens."""
    longest = peers[peers["new_tokens"] == peers["new_tokens"].max()]
    rows = longest[longest["dataset_label"] == longest["dataset_label"].iloc[-1]]
    lines = [
        f"All prompts, {rows['pairs'].iloc[0]} of them, {longest['new_tokens'].iloc[0]} new tokens each",
        "",
        f"| {' | '.join(PEERS)} |",
        "|---|---:|---:|---:|",
        *(_row(row, PEERS_DECIMALS) for _, row in rows.iterrows()),
    ]
    return "\n".join(lines)


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


def _row(row: pd.Series, decimals: dict[str, int]) -> str:
    """A line of a table, with intervals where they are known."""
    cells = [row["label"]]
    for name, places in decimals.items():
        cell = number(row[name], places)
        if f"{name}_low" in row and not pd.isna(row[name]):
            cell += f" [{number(row[f'{name}_low'], places)}, {number(row[f'{name}_high'], places)}]"
        cells.append(cell.replace("--", "-"))
    return f"| {' | '.join(cells)} |"
