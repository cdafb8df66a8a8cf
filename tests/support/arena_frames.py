"""Made-up scores of free drafters."""

import pandas as pd

from dynatree.arena.contest import Score, score_row

LABELS = {"sam": "SAM", "merged": "Merged"}


def shapes_frame(outputs: int = 8) -> pd.DataFrame:
    """Return replays of chains and trees on two data sets, as the CSV file is read; trees of four nodes are best."""
    rows = []
    for dataset in ("encyclopaedic", "narrative"):
        for source in ("ngram", "free"):
            for shape, size, tokens in (("chain", 2, 3.0), ("chain", 4, 2.5), ("tree", 4, 4.0), ("tree", 8, 3.9)):
                for index in range(outputs):
                    names = {"dataset": dataset, "article": f"p{index}", "output": f"p{index}", "source": source}
                    rounds = 240 / tokens + index
                    times = {"seconds": rounds * 1.1, "plain_seconds": 240.0}
                    counts = {"tokens": 240, "rounds": rounds}
                    rows.append(names | {"shape": shape, "size": size} | counts | times)
    return pd.DataFrame(rows)


def arena_frame() -> pd.DataFrame:
    """Return replays of two drafters by tree size and category, as the CSV file is read."""
    rows = []
    for place, (drafter, label) in enumerate(LABELS.items()):
        for nodes in (4, 16):
            for dataset, category, tokens in (("d", "a", 30), ("d", "b", 60), ("d", "all", 90), ("all", "all", 90)):
                rounds = tokens // (2 + place)
                seconds = rounds * (1 + nodes / 16)
                counts = {"outputs": 2, "tokens": tokens, "rounds": rounds, "verified": rounds * nodes}
                times = {"host_seconds": 0.001 * rounds, "seconds": seconds, "plain_seconds": float(tokens)}
                rows.append(score_row(Score(dataset, category, drafter, label, nodes, **counts, **times)))
    return pd.DataFrame(rows)
