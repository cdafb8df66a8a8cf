"""A benchmark as text, CSV, figure and page."""

import base64
import csv
import html
import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib

from dynatree.user_bench.results import Recommendation, Row, stamp

HEADINGS = ("method", "draft", "speed-up", "95 % interval", "tokens/s", "tokens/round", "equal outputs")
DEFINITIONS = (
    "Speed-up: geometric mean over prompts of the ratio of throughputs to plain decoding of dynatree on the same "
    "prompt, with its t interval. All methods take turns on each prompt, after a warm-up. Tokens per round: emitted "
    "tokens per forward pass of the target after the prompt; it does not depend on the machine."
)


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table as texts, in the order of ``HEADINGS``."""
    return (
        row.label,
        row.draft,
        _number(row.speedup, "{:.2f}x"),
        "-" if math.isnan(row.low) else f"{row.low:.2f} to {row.high:.2f}",
        _number(row.tokens_per_second, "{:.1f}"),
        _number(row.tokens_per_round, "{:.2f}"),
        f"{row.equal} of {row.outputs}",
    )


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else form.format(value)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table of aligned text."""
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    aligned = ["  ".join(_aligned(column, text, widths) for column, text in enumerate(line)).rstrip() for line in lines]
    return "\n".join([aligned[0], "-" * len(aligned[0]), *aligned[1:]])


def _aligned(column: int, text: str, widths: Sequence[int]) -> str:
    return text.ljust(widths[column]) if column < 2 else text.rjust(widths[column])


def answer(recommendation: Recommendation | None, finished: int, planned: int) -> str:
    """Return the recommendation in words with its line of Python."""
    lines = [f"{finished} of {planned} requests are finished; the same command goes on."] if finished < planned else []
    if recommendation is None:
        return "\n".join([*lines, "There is no result yet."])
    return "\n".join([*lines, recommendation.words, "", f"    {recommendation.code}"])


def csv_text(rows: Sequence[Row]) -> str:
    """Return the rows as CSV, with all digits."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0].to_json()) if rows else ["draft"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.to_json() for row in rows)
    return stream.getvalue()


def figure_png(rows: Sequence[Row], title: str) -> bytes:
    """Return a figure of the speed-ups and their intervals."""
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    shown = [row for row in reversed(rows) if not math.isnan(row.speedup)]
    figure = Figure(figsize=(7.0, 0.9 + 0.36 * max(1, len(shown))), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(shown):
        color = "#0072b2" if row.low > 1 else "#7f7f7f"
        axes.barh(place, row.speedup, color=color, height=0.62)
        if not math.isnan(row.low):
            axes.plot([row.low, row.high], [place, place], color="black", linewidth=1.4)
    axes.axvline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(shown)), [f"{row.label} ({row.draft})" for row in shown], fontsize=8)
    axes.set_xlabel("speed-up over plain decoding, with 95 % interval", fontsize=8)
    axes.set_title(title, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=160, metadata={"Software": ""})
    return stream.getvalue()


STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.3rem .7rem;border-bottom:1px solid #ddd;text-align:right}
th:nth-child(-n+2),td:nth-child(-n+2){text-align:left}pre{background:#f3f3f3;padding:.8rem;overflow:auto}
img{max-width:100%}.answer{border-left:4px solid #0072b2;padding-left:1rem}"""


def page(rows: Sequence[Row], recommendation: Recommendation | None, about: dict[str, Any], png: bytes) -> str:
    """Return a page that needs no other file and no network.

    Args:
        rows: the results.
        recommendation: the answer; None without one.
        about: names and values that describe the benchmark, in order.
        png: the figure.
    """
    escaped = html.escape
    heads = "".join(f"<th>{escaped(name)}</th>" for name in HEADINGS)
    body = "".join("<tr>" + "".join(f"<td>{escaped(text)}</td>" for text in cells(row)) + "</tr>" for row in rows)
    facts = "".join(f"<tr><td>{escaped(name)}</td><td>{escaped(str(value))}</td></tr>" for name, value in about.items())
    stamps = "".join(f"<li>{escaped(f'{row.label} ({row.draft}): {stamp(row)}')}</li>" for row in rows)
    words = escaped(recommendation.words) if recommendation else "There is no result yet."
    code = f"<pre>{escaped(recommendation.code)}</pre>" if recommendation else ""
    image = base64.b64encode(png).decode()
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>dynatree bench</title><style>{STYLE}</style></head><body>
<h1>Which way of decoding is fastest?</h1>
<div class="answer"><p>{words}</p>{code}</div>
<img alt="speed-ups" src="data:image/png;base64,{image}">
<table><tr>{heads}</tr>{body}</table>
<p>{escaped(DEFINITIONS)}</p>
<h2>Are the outputs exact?</h2><ul>{stamps}</ul>
<h2>What was measured</h2><table>{facts}</table>
</body></html>
"""
