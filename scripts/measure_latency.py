"""Measure what forward passes over few and many tokens take."""

import argparse
from pathlib import Path
from statistics import median

import pandas as pd
import torch

from dynatree.latency.measure import measure_latency
from dynatree.models.linear.packed import pack
from dynatree.models.loading import load_pair
from dynatree.utils.files import check_folder, write_text
from dynatree.workflow.script import run

REPETITIONS = 3

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--target", type=Path, required=True, help="folder of the target")
parser.add_argument("--draft", type=Path, required=True, help="folder of the draft")
parser.add_argument("--device", required=True)
parser.add_argument("--dtype", required=True)
parser.add_argument("--backend", required=True, help="layers that the run uses; stock ones are measured in any case")
parser.add_argument("--output", type=Path, required=True, help="CSV: one row per model, layers, context and width")
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--exclusive", action="store_true", help="let nothing else run on this machine meanwhile")
options = parser.parse_args()


def main() -> None:
    torch.set_num_threads(options.threads)
    for folder in (options.target, options.draft):
        check_folder(folder)
    pair = load_pair(options.target, options.draft, options.device, options.dtype)
    rows = []
    for backend in dict.fromkeys(("stock", options.backend)):
        for role, model in (("target", pair.target), ("draft", pair.draft)):
            used = pack(model) if backend == "packed" else model
            latency = measure_latency(used, REPETITIONS, typical=median)
            for context, times in zip(latency.contexts, latency.seconds, strict=True):
                for width, seconds in zip(latency.widths, times, strict=True):
                    names = {"model": role, "backend": backend, "context": context, "new": width}
                    rows.append(names | {"ms": 1e3 * seconds})
    write_text(options.output, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))


run(
    main,
    reads=[options.target, options.draft],
    writes=[options.output],
    arguments=options,
    exclusive=options.exclusive,
)
