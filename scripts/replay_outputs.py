"""Replay every free drafter on recorded outputs, and trees against chains of the same drafts."""

import argparse
from pathlib import Path

import pandas as pd

from dynatree.analysis.work import latencies
from dynatree.arena.contest import contest, default_drafters, score_row
from dynatree.arena.recording import read_recording
from dynatree.arena.shapes import replay_shapes
from dynatree.models.ngram_table import FILE_NAME, table_in
from dynatree.utils.files import write_text
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--recordings", type=Path, nargs="+", required=True, help="one file per data set")
parser.add_argument("--nodes", type=int, nargs="+", required=True, help="maximum numbers of nodes of a tree")
parser.add_argument("--latency", type=Path, required=True, help="CSV: latency of forward passes on this machine")
parser.add_argument("--draft", type=Path, required=True, help="folder of the draft, which may hold an n-gram table")
parser.add_argument("--output", type=Path, required=True, help="CSV: one row per drafter, tree size and category")
parser.add_argument("--shapes", type=Path, required=True, help="CSV: one row per output, source, shape and size")
options = parser.parse_args()


def main() -> None:
    costs = latencies(pd.read_csv(options.latency))["target"]
    recordings = [read_recording(path) for path in options.recordings]
    table = table_in(options.draft)
    scores = contest(recordings, default_drafters(costs, table), options.nodes, costs, table)
    rows = [score_row(score) for score in scores]
    shapes = pd.DataFrame(replay_shapes(recordings, costs, table))
    for path, frame in ((options.output, pd.DataFrame(rows)), (options.shapes, shapes)):
        write_text(path, frame.to_csv(index=False, float_format="%.6g"))


run(
    main,
    reads=[*options.recordings, options.latency, *options.draft.glob(FILE_NAME)],
    writes=[options.output, options.shapes],
    arguments=options,
)
