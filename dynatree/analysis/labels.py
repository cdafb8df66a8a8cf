"""Labels of cases and data sets; result files hold only their keys."""

from pathlib import Path
from typing import Any

import pandas as pd

from dynatree.utils.files import read_json

Labels = dict[str, dict[str, dict[str, str]]]


def read_input(path: Path, labels: Labels) -> Any:
    """Return the content of a result file.

    Args:
        path: a CSV or JSON file.
        labels: see :func:`dynatree.config.labels.all_labels`.

    Returns:
        A data frame with labels, or the value in a JSON file.
    """
    if path.suffix != ".csv":
        return read_json(path, "run the pipeline again")
    return read_frame(path, labels)


def read_frame(path: Path, labels: Labels) -> pd.DataFrame:
    """Return a CSV file as a data frame, with the labels of its experiment."""
    frame = pd.read_csv(path)
    return with_labels(frame, labels[path.stem]) if path.stem in labels and "case" in frame else frame


def with_labels(frame: pd.DataFrame, labels: dict[str, dict[str, str]]) -> pd.DataFrame:
    """Return ``frame`` with the columns "label" and "dataset_label" where it has "case" and "dataset".

    Args:
        frame: results of one experiment.
        labels: "cases" and "datasets" of the experiment, each key -> label.
    """
    columns = {"label": ("case", "cases"), "dataset_label": ("dataset", "datasets")}
    found = {new: frame[key].map(labels[kind]) for new, (key, kind) in columns.items() if key in frame}
    return frame.assign(**found)
