"""Trees against chains of the same drafts, on recorded outputs: one row per output, sources, shape and size."""

from collections.abc import Iterator, Sequence
from typing import Any

from dynatree.arena.recording import Recording
from dynatree.arena.replay import replay
from dynatree.drafting.free.merged import FREE_SOURCES, Merged
from dynatree.latency.cost_model import CostModel
from dynatree.models.ngram_table import NGramTable

SOURCES = {"ngram": ("ngram",), "recycling": ("recycling",), "table": ("table",), "free": FREE_SOURCES}
LENGTHS = (1, 2, 3, 4, 6, 8)  # of the chains, in drafted tokens
SIZES = (2, 4, 6, 8, 16, 32)  # of the trees, in nodes
TURN = "-turn-"  # before the number of a further turn in the id of an output


def replay_shapes(
    recordings: Sequence[Recording], costs: CostModel, table: NGramTable | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rounds of every chain and every tree of each source, output by output.

    Chain and tree are made of the same candidates, with the same estimates, and each has a fixed size. The sources keep
    their estimates over the outputs of a recording.

    Args:
        recordings: of one target.
        costs: latency of the target's forward passes.
        table: n-gram table of the target; None leaves it out as a source.

    Yields:
        "dataset", "article", "output", "source", "shape", "size", and "tokens" and "rounds" after the first token of
        the output, their "seconds" of forward passes, and those of plain decoding, "plain_seconds". Further turns of a
        conversation share the article.
    """
    for source, names in SOURCES.items():
        if source == "table" and table is None:
            continue
        for shape, sizes in (("chain", LENGTHS), ("tree", SIZES)):
            for size in sizes:
                for recording in recordings:
                    drafter = Merged(size, chains=shape == "chain", sources=names, table=table)
                    for one in replay(drafter, size, recording.outputs):
                        yield {
                            "dataset": recording.dataset,
                            "article": one.output.id.split(TURN)[0],
                            "output": one.output.id,
                            "source": source,
                            "shape": shape,
                            "size": size,
                            "tokens": sum(one.emitted),
                            "rounds": len(one.emitted),
                            "seconds": one.seconds(costs),
                            "plain_seconds": one.plain_seconds(costs),
                        }
