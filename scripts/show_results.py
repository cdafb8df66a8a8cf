"""Print the main comparison or the verdict on every claim on the terminal."""

import argparse
import sys
import textwrap
from pathlib import Path

import pandas as pd

from dynatree.utils.terminal import print_all

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--table", type=Path, help="CSV of the main table")
parser.add_argument("--claims", type=Path, help="CSV of the ledger of claims")
options = parser.parse_args()


def show_table(table: pd.DataFrame) -> None:
    for dataset, rows in table.groupby("dataset_label", sort=False):
        print(f"\n{dataset} ({rows['prompts'].iloc[0]} prompts, {rows['new_tokens'].iloc[0]} new tokens each)")
        print(f"{'':20} {'tokens/s':>22} {'speed-up':>20} {'tokens/round':>13} {'acceptance':>11}")
        for _, row in rows.iterrows():
            speed = f"{row['throughput']:6.1f} [{row['throughput_low']:.1f}, {row['throughput_high']:.1f}]"
            gain = f"{row['speedup']:.2f} [{row['speedup_low']:.2f}, {row['speedup_high']:.2f}]"
            acceptance = "" if pd.isna(row["acceptance_rate"]) else f"{row['acceptance_rate']:.2f}"
            print(f"{row['label']:20} {speed:>22} {gain:>20} {row['tokens_per_round']:13.2f} {acceptance:>11}")
    print("\nIn brackets: 95 % intervals over prompts. Speed-ups are paired by prompt.")


def show_claims(claims: pd.DataFrame) -> None:
    counts = claims["verdict"].value_counts()
    print(f"\nThe {len(claims)} claims of the original paper: {', '.join(f'{n} {v}' for v, n in counts.items())}\n")
    for _, claim in claims.iterrows():
        print(f"{claim['verdict'].upper():13} {claim['text']}")
        print(textwrap.fill(claim["reason"], 118, initial_indent=" " * 14, subsequent_indent=" " * 14))


def main() -> int:
    if options.table:
        show_table(pd.read_csv(options.table))
    if options.claims:
        show_claims(pd.read_csv(options.claims))
    return 0


sys.exit(print_all(main))
