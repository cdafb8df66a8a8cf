r"""Rendering of the paper from its Jinja templates.

Templates use LaTeX-friendly delimiters: ``\VAR{...}`` prints a value and ``\BLOCK{...}`` holds a statement. A line
that starts with ``%%`` is also a statement. Templates see

* ``config``: the run's configuration,
* ``facts``: environment, models, datasets, requests, code, started, finished,
* ``results``: experiment -> rows of its summary, with the columns as attributes,
* ``datasets``: data set -> case -> row of the main comparison,
* ``tuned``: published data set -> "chain" and "fixed_tree" -> the options chosen by the sweep,
* ``sweep_edge``: a sentence on the place of these options in the grid,
* ``comparisons``: data set -> other case -> row of the table of comparisons, with corrected p-values,
* ``measured_over_work``: "tpot_ms" and "ttft_ms" -> case -> median ratio of measured to predicted times,
* ``ledger``: counts of the ledger over the claims that count, see :func:`dynatree.analysis.claims.counts`,
* ``margins``: the frozen margins of the verdicts, see :class:`dynatree.analysis.published.Margins`,
* ``shapes``: verdicts on trees against chains, see :func:`dynatree.analysis.shapes.shape_ledger`,
* ``rule``: the options of DynaTree, defaults included,
* ``constants``: see :func:`dynatree.analysis.constants.constants`,
* ``published``: data set -> method -> metric -> value of the original paper's main tables,
* ``published_heads``: metric -> value of the original's classification of heads,
* ``logged``: file of its other published numbers -> rows,
* ``peers``: new tokens -> case -> row of the table of all lossless methods, over all data sets,
* ``llama_cpp``: counts of its requests and of those identical to ours, and the largest margin; None if it did not run,
* ``bandwidth``: read bandwidth of the machine, and rows of the narrowest and of a wide forward pass of the target,
* ``assisted_cases``: cases of Hugging Face's assisted generation in this table,
* ``bound``: new tokens -> case -> row of the table of the oracle bound,
* ``arena``: drafter -> row of its fastest tree size, over all data sets,
* ``heads``: facts about the target's attention heads, see :func:`dynatree.analysis.heads.head_facts`,
* ``compression``: rows of the summary of KV-cache compression,
* ``gpu``: the proof on a GPU, see :func:`dynatree.analysis.gpu.paper_facts`; None if it has not run,
* ``draft_cache``: rows of the table of compressed draft caches,
* ``passkey``: rows of the summary of passkey retrieval,
* ``table(name)`` and ``figure(name)``: paths for LaTeX.

Unknown names are errors. All external text passes through the ``tex`` filter.
"""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jinja2
import pandas as pd

from dynatree.analysis.claims import counts, describe_run
from dynatree.analysis.constants import constants
from dynatree.analysis.gpu import paper_facts
from dynatree.analysis.heads import head_facts
from dynatree.analysis.labels import Labels, read_frame
from dynatree.analysis.latex import escape
from dynatree.analysis.names import AS_THERE
from dynatree.analysis.printed_numbers import Printed, PrintedNumbers
from dynatree.analysis.published import load_margins
from dynatree.analysis.tables.arena import best_sizes
from dynatree.analysis.tables.booktabs import number, p_value
from dynatree.analysis.tables.comparisons import comparisons_frame
from dynatree.analysis.tables.draft_cache import draft_cache_frame
from dynatree.analysis.tables.forwards import with_shares
from dynatree.analysis.tables.oracle_bound import bound_frame
from dynatree.analysis.tables.peers import peers_frame
from dynatree.config.jobs import AGAIN, LLAMA_CPP
from dynatree.config.labels import all_labels
from dynatree.config.plan import Plan
from dynatree.errors import DynatreeError
from dynatree.policies.registry import policy_options
from dynatree.utils.paths import repository_path

TEMPLATES = "paper"
WIDE = 8  # new tokens of the wide forward pass in the text


@dataclass(frozen=True)
class Results:
    """Result files by name: the path below the folder of the run, or below ``results/`` for published numbers.

    Attributes:
        files: name -> path.
        labels: see :func:`dynatree.config.labels.all_labels`.
    """

    files: dict[str, Path]
    labels: Labels

    def frame(self, name: str) -> pd.DataFrame:
        """Return a CSV file, with labels."""
        return read_frame(self.files[name], self.labels)

    def json(self, name: str) -> dict:
        """Return the content of a JSON file."""
        return json.loads(self.files[name].read_text())

    def published(self) -> dict[str, pd.DataFrame]:
        """Return the files of published numbers by their name without suffix."""
        return {path.stem: pd.read_csv(path) for name, path in self.files.items() if name.startswith("published/")}


def by_name(paths: list[Path], folder: Path) -> dict[str, Path]:
    """Return result files by their path below the folder of a run, or below its parent.

    Args:
        paths: the files.
        folder: ``results/RUN``.
    """
    parents = {path: folder if path.is_relative_to(folder) else folder.parent for path in paths}
    return {path.relative_to(parent).as_posix(): path for path, parent in parents.items()}


def render(
    config: dict, files: dict[str, Path], folders: dict[str, Path], home: Path, claims: Path
) -> tuple[str, list[Printed]]:
    """Return the LaTeX source of the paper, and the numbers that its text prints.

    Args:
        config: the configuration of the run.
        files: see :func:`by_name`.
        folders: "tables" and "figures", from which LaTeX includes files.
        home: folder in which LaTeX runs.
        claims: file with the margins of the verdicts.

    Raises:
        DynatreeError: a template uses a name that does not exist.
    """
    relative = {kind: os.path.relpath(folder, home.resolve()) for kind, folder in folders.items()}
    context = _context(config, Results(files, all_labels(Plan.from_config(config))), claims) | {
        "table": lambda name: f"{relative['tables']}/{name}.tex",
        "figure": lambda name: f"{relative['figures']}/{name}.pdf",
    }
    environment = _environment()
    try:
        text = environment.get_template("dynatree.tex.j2").render(context)
    except jinja2.TemplateError as error:
        raise DynatreeError(f"the paper's templates do not fit the results: {error}") from error
    return text, cast(PrintedNumbers, environment.extensions[PrintedNumbers.identifier]).printed


def _context(config: dict, results: Results, claims: Path) -> dict:
    """Return what the templates see of the results."""
    requests, peers = results.frame("requests/main.csv"), results.frame("requests/peers.csv")
    summaries = {name: results.frame(f"summary/{name}.csv") for name in config["experiments"]}
    published = results.published()
    return {
        "config": config,
        "facts": results.json("summary/facts.json"),
        "tuned": results.json("tuned.json"),
        "sweep_edge": sweep_edge(results.json("tuned.json"), config["experiments"]["sweep"]),
        "results": {name: rows(frame) for name, frame in summaries.items()},
        "datasets": nested(summaries["main"], "dataset", "case"),
        "comparisons": nested(comparisons_frame(requests), "dataset", "case"),
        "measured_over_work": {name: _over_work(requests, name) for name in ("tpot_ms", "ttft_ms")},
        "margins": load_margins(claims),
        "ledger": counts(results.frame("claims.csv")) | {"published": describe_run(config)["published"]},
        "shapes": rows(results.frame("shape_claims.csv")),
        "rule": {name: one.default for name, one in policy_options("dynatree").items()},
        "constants": constants(),
        "published": _published(published.pop("main")),
        "published_heads": dict(published.pop("heads")[["metric", "value"]].itertuples(index=False, name=None)),
        "logged": {name: rows(frame) for name, frame in published.items()},
        "peers": nested(peers_frame(peers), "new_tokens", "case"),
        "assisted_cases": set(peers.loc[(peers["engine"] == "huggingface") & (peers["method"] == "assisted"), "case"]),
        "llama_cpp": _llama_cpp(peers),
        "bandwidth": _bandwidth(with_shares(results.frame("latency.csv"))),
        "bound": nested(bound_frame(results.frame("bounds/peers.csv")), "new_tokens", "case"),
        "arena": {row.drafter: row for row in rows(best_sizes(results.frame("arena/replay.csv")))},
        "heads": head_facts(results.json("heads.json")),
        "compression": rows(results.frame("summary/compression.csv")),
        "passkey": rows(results.frame("summary/passkey.csv")),
        "gpu": paper_facts(results.files),
        "draft_cache": rows(draft_cache_frame(results.frame("requests/draft_cache.csv"))),
    }


def _over_work(requests: pd.DataFrame, name: str) -> dict[str, float]:
    """Return case -> median ratio of measured times to those by work, where both are known."""
    shown = requests[requests["case"] != AGAIN]
    return (shown[name] / shown[f"work_{name}"]).groupby(shown["case"]).median().dropna().to_dict()


def _llama_cpp(peers: pd.DataFrame) -> SimpleNamespace | None:
    """Return how many outputs of llama.cpp equal ours, and the largest margin; None if it did not run."""
    own = peers[peers["engine"] == LLAMA_CPP]
    if own.empty:
        return None
    identical = int(own["identical"].sum())
    return SimpleNamespace(requests=len(own), identical=identical, margin=own.loc[~own["identical"], "margin"].max())


def _bandwidth(latency: pd.DataFrame) -> SimpleNamespace:
    """Return the bandwidth and two rows of the run's layers of the target at the middle context."""
    used = latency[(latency["model"] == "target") & (latency["backend"] == latency["backend"].iloc[-1])]
    contexts = sorted(used["context"].unique())
    shown = used[used["context"] == contexts[len(contexts) // 2]]
    narrow, wide = (rows(shown[shown["new"] == shown["new"][shown["new"] <= new].max()])[0] for new in (1, WIDE))
    return SimpleNamespace(machine=narrow.machine_gb_per_s, narrow=narrow, wide=wide)


def rows(frame: pd.DataFrame) -> list[SimpleNamespace]:
    """Return the rows of a frame, with the columns as attributes."""
    return [SimpleNamespace(**row) for row in frame.to_dict("records")]


def nested(frame: pd.DataFrame, outer: str, inner: str) -> dict[Any, dict[Any, SimpleNamespace]]:
    """Return value of ``outer`` -> value of ``inner`` -> row; the last of several rows counts."""
    found: dict[Any, dict[Any, SimpleNamespace]] = {}
    for row in rows(frame):
        found.setdefault(getattr(row, outer), {})[getattr(row, inner)] = row
    return found


def _published(table: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Return data set -> method -> metric -> value."""
    return {
        dataset: {
            method: dict(zip(part["metric"], part["value"], strict=True)) for method, part in of.groupby("method")
        }
        for dataset, of in table.groupby("dataset", sort=False)
    }


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
        extensions=[PrintedNumbers],
    )
    environment.filters |= {
        "tex": escape,
        "number": number,
        "interval": interval,
        "percent": percent,
        "options": options,
        "p": p_value,
        "times": lambda count: "once" if count == 1 else f"{count} times",
        "counted": lambda count, noun: f"one {noun}" if count == 1 else f"{count} {noun}s",
    }
    environment.tests |= {"nan": math.isnan, "as_there": lambda series: series.endswith(AS_THERE)}
    environment.globals |= {"decision": decision}
    return environment


def interval(row: SimpleNamespace, name: str, decimals: int) -> str:
    """Return a quantity with its 95 % interval, if it has one."""
    value, low, high = (number(getattr(row, name + end), decimals) for end in ("", "_low", "_high"))
    return value if low == "--" else f"{value} [{low}, {high}]"


def percent(value: float, decimals: int = 0) -> str:
    """Return a share as a percentage."""
    return number(100 * value, decimals) + r"\,\%"


def options(chosen: dict) -> str:
    """Return options as LaTeX, each on one line."""
    shown = {name: " and ".join(value) if isinstance(value, list) else value for name, value in chosen.items()}
    return ", ".join(rf"\mbox{{{escape(name)} = {escape(value)}}}" for name, value in shown.items()) or "none"


ALPHA = 0.05


def decision(row: SimpleNamespace) -> str:
    """Return whether a difference in time is established: by the corrected exact test, with the same sign in work.

    Args:
        row: of :func:`dynatree.analysis.tables.comparisons.comparisons_frame`.
    """
    if math.isnan(row.throughput):
        return "not measured"
    shown = f"(corrected $p$ = {p_value(row.p)})"
    if not row.p <= ALPHA:
        return f"not separated from one {shown}"
    if math.isnan(row.work):
        return f"separated from one {shown}, with unknown work"
    if (row.throughput - 1) * (row.work - 1) <= 0:
        return f"separated from one {shown}, but not in work, so noise or overhead"
    return f"{'faster' if row.throughput > 1 else 'slower'} {shown}"


def sweep_edge(tuned: dict[str, dict[str, dict]], sweep: dict) -> str:
    """Return a sentence that names the chosen settings at an edge of the grid of the sweep."""
    grids = {
        ("chain", "length"): sweep["lengths"],
        ("fixed_tree", "depth"): sweep["depths"],
        ("fixed_tree", "branch"): sweep["branches"],
        ("fixed_tree", "prune_probability"): sweep["thresholds"],
    }
    edges = [
        f"{name.replace('_', ' ')} {options[method][name]:g} on {dataset}"
        for dataset, options in tuned.items()
        for (method, name), grid in grids.items()
        if len(grid) > 1 and options.get(method, {}).get(name) in (min(grid), max(grid))
    ]
    if not edges:
        return "All of them lie inside the grid."
    return f"At an edge of the grid are {', '.join(edges)}. A better setting may lie beyond an edge."
