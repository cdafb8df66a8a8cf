r"""Render the paper from its jinja2 templates.

Templates use LaTeX-friendly delimiters: ``\VAR{...}`` prints a value and ``\BLOCK{...}`` holds a statement; a line
that starts with ``%%`` is a statement too. They see

* ``config``: the run's configuration,
* ``facts``: environment, models, datasets, requests, code, started, finished,
* ``results``: experiment -> rows of its summary, with the columns as attributes,
* ``datasets``: data set -> case -> row of the main comparison,
* ``tuned``: "chain" and "fixed_tree" -> the options chosen by the sweep,
* ``claims``: rows of the ledger of claims,
* ``published``: data set -> method -> metric -> value of the original paper's main tables,
* ``published_heads``: metric -> value of the original's classification of heads,
* ``logged``: file of its other numbers -> rows,
* ``peers``: new tokens -> case -> row of the table of all lossless methods, over all data sets,
* ``assisted_cases``: those of its cases that are Hugging Face's assisted generation,
* ``bound``: new tokens -> case -> row of the table of the bound,
* ``heads``: what is known of the target's attention heads, see :func:`dynatree.analysis.heads.head_facts`,
* ``compression``: rows of the summary of cache compression,
* ``draft_cache``: rows of the table of drafts with compressed caches,
* ``passkey``: rows of the summary of hidden numbers,
* ``compare(dataset, case, other, quantity)``: a paired comparison within the main experiment,
* ``table(name)`` and ``figure(name)``: paths for LaTeX.

Names that do not exist are errors. All text from outside passes through the ``tex`` filter.
"""

import json
import math
import os
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pandas as pd

from dynatree.analysis.heads import head_facts
from dynatree.analysis.labels import with_labels
from dynatree.analysis.latex import escape
from dynatree.analysis.names import AS_THERE
from dynatree.analysis.statistics import Comparison, compare
from dynatree.analysis.tables.booktabs import number
from dynatree.analysis.tables.bound import bound_frame
from dynatree.analysis.tables.draft_cache import draft_cache_frame
from dynatree.analysis.tables.peers import peers_frame
from dynatree.config.compression_grid import compression_labels
from dynatree.config.plan import Plan
from dynatree.errors import DynatreeError
from dynatree.utils.paths import repository_path

TEMPLATES = "paper"


def render(config: dict, inputs: dict[str, Path | list[Path]], folders: dict[str, Path], home: Path) -> str:
    """The paper's LaTeX source.

    Args:
        config: the configuration of the run.
        inputs: "summaries", a CSV per experiment; "facts", "tuned" and "heads", JSON; "claims", CSV;
            "requests" of the main comparison, of "peers" and of "draft_cache", CSV; "bounds" of "peers", CSV;
            "compression" and "passkey", CSV; "published", CSVs with the original's numbers.
        folders: "tables" and "figures", from which LaTeX includes files.
        home: folder in which LaTeX runs.

    Raises:
        DynatreeError: a template uses a name that does not exist.
    """
    plan = Plan.from_config(config)
    results = {path.stem: _rows(with_labels(pd.read_csv(path), plan.labels(path.stem))) for path in inputs["summaries"]}
    requests = pd.read_csv(inputs["requests"])
    peers = with_labels(pd.read_csv(inputs["peers"]), plan.labels("peers"))
    assisted = peers.loc[(peers["engine"] == "huggingface") & (peers["method"] == "assisted"), "case"]
    drafts = pd.read_csv(inputs["draft_cache"])
    compression, passkey = (
        _rows(with_labels(pd.read_csv(inputs[name]), compression_labels(config))) for name in ("compression", "passkey")
    )
    published = {path.stem: pd.read_csv(path) for path in inputs["published"]}
    relative = {kind: os.path.relpath(folder, home.resolve()) for kind, folder in folders.items()}
    context = {
        "config": config,
        "facts": json.loads(inputs["facts"].read_text()),
        "tuned": json.loads(inputs["tuned"].read_text()),
        "results": results,
        "datasets": _by_dataset(results["main"]),
        "claims": _rows(pd.read_csv(inputs["claims"])),
        "published": _published(published.pop("main")),
        "published_heads": dict(published.pop("heads")[["metric", "value"]].itertuples(index=False, name=None)),
        "logged": {name: _rows(frame) for name, frame in published.items()},
        "peers": _peers(peers_frame(peers)),
        "assisted_cases": set(assisted),
        "bound": _bound(inputs, plan),
        "heads": head_facts(json.loads(inputs["heads"].read_text())),
        "compression": compression,
        "passkey": passkey,
        "draft_cache": _rows(draft_cache_frame(with_labels(drafts, plan.labels("draft_cache")))),
        "compare": lambda dataset, *what: compare(requests[requests["dataset"] == dataset], *what),
        "table": lambda name: f"{relative['tables']}/{name}.tex",
        "figure": lambda name: f"{relative['figures']}/{name}.pdf",
    }
    try:
        return _environment().get_template("dynatree.tex.j2").render(context)
    except jinja2.TemplateError as error:
        raise DynatreeError(f"the paper's templates do not fit the results: {error}") from error


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(repository_path(TEMPLATES)),
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
        "options": options,
    }
    environment.tests |= {"nan": math.isnan, "as_there": lambda series: series.endswith(AS_THERE)}
    environment.globals |= {"verdict": verdict, "side": side, "ratio": ratio}
    return environment


def _rows(frame: pd.DataFrame) -> list[SimpleNamespace]:
    return [SimpleNamespace(**row) for row in frame.to_dict("records")]


def _by_dataset(rows: list[SimpleNamespace]) -> dict[str, dict[str, SimpleNamespace]]:
    datasets: dict[str, dict[str, SimpleNamespace]] = {}
    for row in rows:
        datasets.setdefault(row.dataset, {})[row.case] = row
    return datasets


def _peers(frame: pd.DataFrame) -> dict[int, dict[str, SimpleNamespace]]:
    """The rows over all data sets, which come last."""
    found: dict[int, dict[str, SimpleNamespace]] = {}
    for row in _rows(frame):
        found.setdefault(row.new_tokens, {})[row.case] = row
    return found


def _bound(inputs: dict, plan: Plan) -> dict[int, dict[str, SimpleNamespace]]:
    """Return the oracle bound: new tokens -> case -> row."""
    found: dict[int, dict[str, SimpleNamespace]] = {}
    for row in _rows(bound_frame(with_labels(pd.read_csv(inputs["bounds"]), plan.labels("peers")))):
        found.setdefault(row.new_tokens, {})[row.case] = row
    return found


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


def ratio(found: Comparison) -> str:
    """A paired ratio with its 95 % interval."""
    return f"{found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}]"


def percent(value: float, decimals: int = 0) -> str:
    """A share as a percentage."""
    return number(100 * value, decimals) + r"\,\%"


def options(chosen: dict) -> str:
    """Options as LaTeX, each kept on one line."""
    shown = {name: " and ".join(value) if isinstance(value, list) else value for name, value in chosen.items()}
    return ", ".join(rf"\mbox{{{escape(name)} = {escape(value)}}}" for name, value in shown.items()) or "none"


def side(low: float, high: float, of: float = 1.0) -> str:
    """Where an interval lies: "above", "below" or "around" a value."""
    if low > of:
        return "above"
    return "below" if high < of else "around"


def verdict(row: SimpleNamespace) -> str:
    """What a speed-up's interval allows to say: "faster", "slower" or "level" with the baseline."""
    return {"above": "faster", "below": "slower", "around": "level"}[side(row.speedup_low, row.speedup_high)]
