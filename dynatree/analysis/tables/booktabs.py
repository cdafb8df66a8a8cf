"""Layout of all LaTeX tables."""

import math
from collections.abc import Mapping, Sequence

Group = tuple[str | None, list[list[str]]]


def booktabs(
    header: list[str], groups: Sequence[Group], units: list[str] | None = None, columns: str | None = None
) -> str:
    """Return a booktabs tabular: the header, and one block of rows per group.

    All text is LaTeX source. External text passes through :func:`dynatree.analysis.latex.escape` first.

    Args:
        header: one title per column.
        groups: pairs of a title, set in italics above its rows, or None, and rows of one cell per column.
        units: a second line of the header in small print, one text per column.
        columns: LaTeX column specification; by default the first column is left-aligned and the others right-aligned.
    """
    lines = [
        rf"\begin{{tabular}}{{{columns or '@{}l' + 'r' * (len(header) - 1) + '@{}'}}}",
        r"\toprule",
        _line(header, len(header)),
    ]
    if units:
        lines.append(_line([unit and rf"\small {unit}" for unit in units], len(header)))
    for title, rows in groups:
        lines.append(r"\midrule")
        if title is not None:
            lines.append(rf"\multicolumn{{{len(header)}}}{{@{{}}l}}{{\textit{{{title}}}}} \\")
        lines += [_line(row, len(header)) for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _line(cells: list[str], width: int) -> str:
    if len(cells) != width:
        raise ValueError(f"a row of {len(cells)} cells in a table of {width} columns: {cells}")
    return " & ".join(cells) + r" \\"


def cell(row: Mapping, name: str, decimals: int, bounded: bool = False) -> str:
    """Return the value ``name`` of a row; if ``bounded``, with a known [NAME_low, NAME_high] in small print."""
    text = _minus(number(row[name], decimals))
    if bounded and not math.isnan(row[f"{name}_low"]):
        low, high = (_minus(number(row[f"{name}_{side}"], decimals)) for side in ("low", "high"))
        text += rf" {{\scriptsize [{low}, {high}]}}"
    return text


def number(value: float, decimals: int) -> str:
    """Return a number with fixed decimals, or a dash for NaN."""
    return "--" if math.isnan(value) else f"{round(value, decimals) + 0.0:.{decimals}f}"  # avoids -0


def _minus(text: str) -> str:
    """Return a number with a minus sign instead of a hyphen."""
    return f"$-${text[1:]}" if text.startswith("-") and text != "--" else text


def p_value(value: float) -> str:
    """Return a p-value with three decimals, or a dash for NaN."""
    return r"$<$0.001" if value < 0.001 else number(value, 3)
