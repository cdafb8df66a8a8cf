"""Tables of the paper, as data and as LaTeX."""

import math

import pandas as pd

from dynatree.analysis.latex import escape

MAIN_COLUMNS = {
    "throughput": "Tokens/s",
    "speedup": "Speed-up",
    "tokens_per_round": "Tok./round",
    "acceptance_rate": "Accept.",
    "ttft_ms": "TTFT",
    "tpot_ms": "TPOT",
}
DECIMALS = {"throughput": 1, "speedup": 2, "tokens_per_round": 2, "acceptance_rate": 2, "ttft_ms": 0, "tpot_ms": 1}
BOUNDED = ("throughput", "speedup")


def main_table(summary: pd.DataFrame) -> pd.DataFrame:
    """The main comparison as shown, rounded: one row per data set and method."""
    bounds = [f"{name}_{side}" for name in BOUNDED for side in ("low", "high")]
    shown = summary[["dataset_label", "label", "prompts", "new_tokens", *MAIN_COLUMNS, *bounds]].copy()
    for name, decimals in DECIMALS.items():
        columns = [name, f"{name}_low", f"{name}_high"] if name in BOUNDED else [name]
        shown[columns] = shown[columns].round(decimals)
    return shown


def main_latex(summary: pd.DataFrame) -> str:
    """The main comparison as a booktabs tabular: a block per data set, intervals in small print."""
    lines = [
        r"\begin{tabular}{@{}l" + "r" * len(MAIN_COLUMNS) + "@{}}",
        r"\toprule",
        " & ".join(["Method", *MAIN_COLUMNS.values()]) + r" \\",
        " & ".join(["", "", "", "", "", r"\small ms", r"\small ms"]) + r" \\",
    ]
    for label, rows in summary.groupby("dataset_label", sort=False):
        lines += [r"\midrule", rf"\multicolumn{{{len(MAIN_COLUMNS) + 1}}}{{@{{}}l}}{{\textit{{{escape(label)}}}}} \\"]
        lines += [_row(row) for _, row in rows.iterrows()]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _row(row: pd.Series) -> str:
    cells = [escape(row["label"])]
    for name in MAIN_COLUMNS:
        cell = number(row[name], DECIMALS[name])
        if name in BOUNDED and not math.isnan(row[name]):
            low, high = (number(row[f"{name}_{side}"], DECIMALS[name]) for side in ("low", "high"))
            cell += rf" {{\scriptsize [{low}, {high}]}}"
        cells.append(cell)
    return " & ".join(cells) + r" \\"


def number(value: float, decimals: int) -> str:
    """A number with fixed decimals; a dash where there is none."""
    return "--" if math.isnan(value) else f"{value:.{decimals}f}"
