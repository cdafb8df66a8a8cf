"""Facts about attention heads for the paper, its table and its figures; one row of a frame is one query head."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from dynatree.heads.classification import KINDS

PARTS = ("early", "middle", "late")
FIFTH = 0.2  # the original counts heads with a larger sink mass


def layer_parts(heads: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the rows of the first, middle and last third of the layers, each with its name and layers.

    Empty thirds are left out.
    """
    thirds = np.array_split(np.sort(heads["layer"].unique()), len(PARTS))
    return [
        (f"{part}, {_range(layers)}", heads[heads["layer"].isin(layers)])
        for part, layers in zip(PARTS, thirds, strict=True)
        if len(layers)
    ]


def _range(layers: np.ndarray) -> str:
    return f"layers {layers[0]} to {layers[-1]}" if len(layers) > 1 else f"layer {layers[0]}"


def counts(heads: pd.DataFrame) -> dict[str, int]:
    """Return the number of heads of each kind."""
    return {kind: int((heads["kind"] == kind).sum()) for kind in KINDS}


def distances(heads: pd.DataFrame) -> dict[str, int]:
    """Return the columns of the profile with the smallest distance of their bin."""
    return {name: int(name.removeprefix("distance_")) for name in heads if name.startswith("distance_")}


def head_facts(content: dict) -> SimpleNamespace:
    """Return the facts about attention heads that the paper states.

    Args:
        content: of the file of heads, see :mod:`dynatree.heads.report`.

    Returns:
        "text", "bands" and "thresholds" as in the file; "layers", "heads" and "kv_heads" of the complete model;
        "counts" by kind; "entropy" and "sink" with the attributes mean, min and max; "sink_above_fifth" (heads);
        "bounded" (heads with a window); "kv_bounded" (key/value heads whose query heads all have one); and "window",
        the median of the windows, or None.
    """
    heads = pd.DataFrame(content["heads"])
    layers, kv_heads = content["model"]["layers"], content["model"]["kv_heads"]
    group = heads["head"] // (content["model"]["heads"] // kv_heads)
    bounded = heads["window"].notna()
    return SimpleNamespace(
        text=content["text"],
        bands=content["bands"],
        thresholds=content["thresholds"],
        layers=layers,
        heads=len(heads),
        kv_heads=layers * kv_heads,
        counts=counts(heads),
        entropy=_spread(heads["entropy"]),
        sink=_spread(heads["sink"]),
        sink_above_fifth=int((heads["sink"] > FIFTH).sum()),
        bounded=int(bounded.sum()),
        kv_bounded=int(bounded.groupby([heads["layer"], group]).all().sum()),
        window=float(heads["window"].median()) if bounded.any() else None,
    )


def _spread(values: pd.Series) -> SimpleNamespace:
    return SimpleNamespace(mean=values.mean(), min=values.min(), max=values.max())
