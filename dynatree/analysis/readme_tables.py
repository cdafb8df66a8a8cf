"""Markdown tables of a snapshot: a short one for the README and long ones for ``docs/results.md``."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from dynatree.analysis.names import DECIDED
from dynatree.analysis.tables.booktabs import number
from dynatree.config.jobs import BASELINE, LLAMA_CPP

DECIMALS = {"speedup": 2, "llama_cpp": 2, "over": 2, "tokens_per_round": 2}
MAIN_HEADER = ("Method", "Tokens/s", "Speed-up", "Tokens per round", "Acceptance rate", "TTFT (ms)", "TPOT (ms)")
MAIN_DECIMALS = {
    "throughput": 1,
    "speedup": 2,
    "tokens_per_round": 2,
    "acceptance_rate": 2,
    "ttft_ms": 0,
    "tpot_ms": 1,
}
SHOWN = (BASELINE, "hf_prompt_lookup", LLAMA_CPP, "dynatree")
ASSISTED = ("hf_assisted", "assisted-")


def readme_table(folder: Path) -> str:
    """Return the README's table of a snapshot: up to six lossless methods on all prompts, in order of speed-up."""
    rows = longest_requests(pd.read_csv(folder / "peers.csv"))
    assisted = rows[rows["case"].str.startswith(ASSISTED)].nlargest(1, "speedup")
    others = rows[rows["case"].isin(SHOWN) | recommended(rows)]
    shown = pd.concat([others, assisted]).sort_values("speedup", na_position="first")
    environment = json.loads((folder / "facts.json").read_text())["environment"]
    return f"{_size(shown)}, measured on {_machine(environment)}.\n\n{_comparison(shown)}\n"


def results_tables(folder: Path) -> str:
    """Return the long tables of a snapshot: all lossless methods, each data set, and the decided claims."""
    facts = json.loads((folder / "facts.json").read_text())
    rows = longest_requests(pd.read_csv(folder / "peers.csv"))
    parts = [
        f"Measured on {_machine(facts['environment'])}.",
        "## All lossless methods",
        f"{_size(rows)}.",
        _comparison(rows),
    ]
    for label, part in pd.read_csv(folder / "main.csv").groupby("dataset_label", sort=False):
        prompts, new_tokens = part[["prompts", "new_tokens"]].iloc[0]
        parts += [
            f"## {label} prompts",
            f"{prompts} prompts, {new_tokens} new tokens each.",
            _table(MAIN_HEADER, (_cells(row, MAIN_DECIMALS) for _, row in part.iterrows())),
        ]
    return "\n\n".join([*parts, "## Claims of the original paper", _claims(pd.read_csv(folder / "claims.csv"))]) + "\n"


def longest_requests(peers: pd.DataFrame) -> pd.DataFrame:
    """Return the rows on all data sets together at the largest number of new tokens, one per method."""
    longest = peers[peers["new_tokens"] == peers["new_tokens"].max()]
    return longest[longest["dataset_label"] == longest["dataset_label"].iloc[-1]]


def recommended(rows: pd.DataFrame) -> pd.Series:
    """Return True for the method that the others are compared with, which has no ratio over itself."""
    return rows["over"].isna()


def _size(rows: pd.DataFrame) -> str:
    return f"All {rows['pairs'].iloc[0]} prompts, {rows['new_tokens'].iloc[0]} new tokens each"


def _comparison(rows: pd.DataFrame) -> str:
    over = rows.loc[recommended(rows), "label"].iloc[0]
    titles = {
        "speedup": "Speed-up",
        "llama_cpp": "Over plain llama.cpp",
        "over": f"Speed-up of {over} over this method",
        "tokens_per_round": "Tokens per round",
    }
    shown = {name: places for name, places in DECIMALS.items() if name in rows}  # older snapshots lack llama.cpp
    return _table(("Method", *(titles[name] for name in shown)), (_cells(row, shown) for _, row in rows.iterrows()))


def _claims(ledger: pd.DataFrame) -> str:
    """Return the number of claims per verdict and a table of the decided ones."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in ledger["verdict"].value_counts().items())
    decided = ledger[ledger["verdict"].isin(DECIDED)].sort_values("verdict", kind="stable")
    rows = ((row["text"], _value(row), row["verdict"]) for _, row in decided.iterrows())
    return (
        f"Verdicts on the {len(ledger)} claims: {counts}.\nThe table lists the decided claims.\n\n"
        f"{_table(('Claim', 'Measured', 'Verdict'), rows)}"
    )


def _value(row: pd.Series) -> str:
    if pd.isna(row["value"]):
        return "-"
    if row["low"] == row["high"] or pd.isna(row["low"]):
        return f"{row['value']:.3g}"
    return f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _machine(environment: dict) -> str:
    cores, processor, threads = (environment[key] for key in ("cores", "processor", "threads"))
    versions = " and ".join(f"{name} {environment['versions'][name]}" for name in ("torch", "transformers"))
    return (
        f"{environment['device']} with {threads} threads ({processor}, {cores} cores), {versions}, "
        f"commit {environment['commit'][:7]}"
    )


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table whose columns after the first are aligned to the right."""
    header = list(header)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: pd.Series, decimals: dict[str, int]) -> list[str]:
    """Return the cells of one method, with intervals where they are known."""
    cells = [str(row["label"])]
    for name, places in decimals.items():
        cell = number(row[name], places)
        if f"{name}_low" in row and not pd.isna(row[f"{name}_low"]):
            cell += f" [{number(row[f'{name}_low'], places)}, {number(row[f'{name}_high'], places)}]"
        cells.append(cell.replace("--", "-"))
    return cells
