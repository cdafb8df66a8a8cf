"""What the scripts of figures and tables share."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from dynatree.analysis.labels import with_labels
from dynatree.files import read_json, write_text
from dynatree.scripting import run


def draw(description: str, function: Callable) -> None:
    """Run a figure's script: read the inputs, call ``function`` with them, save its figure as PDF and PNG."""
    from dynatree.analysis.style import save

    options = _parse(description, "pdf", "png")

    def work() -> None:
        figure = function(*_inputs(options))
        save(figure, options.pdf)
        save(figure, options.png)

    run(work, reads=options.input, writes=[options.pdf, options.png], arguments=options)


def tabulate(description: str, function: Callable) -> None:
    """Run a table's script: read the inputs, call ``function`` with them, write its data as CSV and its LaTeX."""
    options = _parse(description, "csv", "tex")

    def work() -> None:
        frame, latex = function(*_inputs(options))
        write_text(options.csv, frame.to_csv(index=False))
        write_text(options.tex, latex)

    run(work, reads=options.input, writes=[options.csv, options.tex], arguments=options)


def _parse(description: str, *outputs: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--input", type=Path, nargs="*", default=[], help="CSV or JSON files")
    parser.add_argument("--labels", type=json.loads, help="names of the cases and data sets, as JSON")
    for name in outputs:
        parser.add_argument(f"--{name}", type=Path, required=True)
    return parser.parse_args()


def _inputs(options: argparse.Namespace) -> list:
    return [_read(path, options.labels) for path in options.input]


def _read(path: Path, labels: dict | None):
    if path.suffix != ".csv":
        return read_json(path, "run the pipeline again")
    frame = pd.read_csv(path)
    return with_labels(frame, labels) if labels and "case" in frame else frame
