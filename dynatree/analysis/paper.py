r"""Render the paper from its jinja2 templates.

Templates use LaTeX-friendly delimiters: ``\VAR{...}`` prints a value and ``\BLOCK{...}`` holds a statement; a line
that starts with ``%%`` is a statement too. They see

* ``config``: the run's configuration (run, device, dtype, threads, models, prompts, experiments, methods),
* ``facts``: environment, models, code, started, finished,
* ``datasets``: for each data set a dictionary method -> row of the summary, as attributes,
* ``published``: data set -> method -> metric -> value of the original paper,
* ``table`` and ``figure``: paths for LaTeX.

Names that do not exist are errors. All text from outside passes through the ``tex`` filter.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.tables import number
from dynatree.errors import DynatreeError

TEMPLATES = Path(__file__).resolve().parents[2] / "paper"


def render(config: dict, summary: Path, facts: Path, published: Path, paths: dict[str, str]) -> str:
    """The paper's LaTeX source.

    Raises:
        DynatreeError: a template uses a name that does not exist.
    """
    context = {
        "config": config,
        "facts": json.loads(facts.read_text()),
        "datasets": _datasets(pd.read_csv(summary)),
        "published": _published(pd.read_csv(published)),
        **paths,
    }
    try:
        return _environment().get_template("dynatree.tex.j2").render(context)
    except jinja2.TemplateError as error:
        raise DynatreeError(f"the paper's templates do not fit the results: {error}") from error


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        variable_start_string=r"\VAR{",
        variable_end_string="}",
        block_start_string=r"\BLOCK{",
        block_end_string="}",
        line_statement_prefix="%%",
        comment_start_string=r"\NOTE{",
        comment_end_string="}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "tex": escape,
        "number": number,
        "interval": interval,
        "percent": percent,
        "join_and": join_and,
    }
    environment.globals["verdict"] = verdict
    return environment


def _datasets(summary: pd.DataFrame) -> dict[str, dict[str, SimpleNamespace]]:
    return {
        dataset: {row["method"]: SimpleNamespace(**row) for row in rows.to_dict("records")}
        for dataset, rows in summary.groupby("dataset", sort=False)
    }


def _published(table: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    return {
        dataset: {
            method: dict(zip(part["metric"], part["value"], strict=True)) for method, part in rows.groupby("method")
        }
        for dataset, rows in table.groupby("dataset", sort=False)
    }


def interval(row: SimpleNamespace, name: str, decimals: int) -> str:
    """A quantity with its 95 % interval."""
    value, low, high = (number(getattr(row, name + end), decimals) for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def percent(value: float, decimals: int = 0) -> str:
    """A share as a percentage."""
    return number(100 * value, decimals) + r"\,\%"


def join_and(parts: list[str]) -> str:
    """An enumeration in prose."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def verdict(row: SimpleNamespace) -> str:
    """What a speed-up's interval allows to say: "faster", "slower" or "level" with the baseline."""
    if row.speedup_low > 1:
        return "faster"
    return "slower" if row.speedup_high < 1 else "level"
