"""Names of cases and data sets as readers see them; results know only their keys."""

import pandas as pd


def with_labels(frame: pd.DataFrame, labels: dict[str, dict[str, str]]) -> pd.DataFrame:
    """``frame`` with the columns "label" and "dataset_label", where it has "case" and "dataset".

    Args:
        frame: results.
        labels: see :func:`dynatree.config.experiments.labels`.
    """
    columns = {"label": ("case", "cases"), "dataset_label": ("dataset", "datasets")}
    found = {new: frame[key].map(labels[kind]) for new, (key, kind) in columns.items() if key in frame}
    return frame.assign(**found)
