"""Free drafters on recorded outputs."""

import pandas as pd

from dynatree.analysis.latex import escape
from dynatree.analysis.tables.booktabs import booktabs, number

ALL = "all"
KEYS = ["dataset", "category", "drafter", "label", "nodes"]
ROUNDED = {"tokens_per_round": 3, "host_ms": 2, "tokens_per_second": 1, "speedup": 3}


def table(replays: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate tokens per round by tree size and the best speed-up, over all outputs.

    The data hold every category.
    """
    total = totals(replays)
    sizes = sorted(total["nodes"].unique())
    lines = []
    for _, best in best_sizes(replays).iterrows():
        by_size = total[total["drafter"] == best["drafter"]].set_index("nodes")
        cells = [number(by_size.loc[size, "tokens_per_round"], 2) for size in sizes]
        lines.append(
            [escape(best["label"]), *cells, number(best["speedup"], 2), str(best["nodes"]), number(best["host_ms"], 2)]
        )
    header = ["Drafter", *map(str, sizes), "Best", "Nodes", "Host"]
    units = ["", *["tok./round" if place == 0 else "" for place in range(len(sizes))], "speed-up", "", "ms/round"]
    frame = replays[[*KEYS, "outputs", "tokens", "rounds", "verified", *ROUNDED]].round(ROUNDED)
    return frame, booktabs(header, [(None, lines)], units)


def best_sizes(replays: pd.DataFrame) -> pd.DataFrame:
    """Return the row over all data sets with the highest speed-up of each drafter."""
    total = totals(replays)
    return total.loc[total.groupby("drafter", sort=False)["speedup"].idxmax()]


def totals(replays: pd.DataFrame) -> pd.DataFrame:
    """Return the rows over all data sets."""
    return replays[(replays["dataset"] == ALL) & (replays["category"] == ALL)]
