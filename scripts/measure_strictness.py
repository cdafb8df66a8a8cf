"""Compare outputs with those of plain decoding in the same number format, with and without exact="strict"."""

import argparse
import json
from pathlib import Path

import pandas as pd

from dynatree.benchmark.strictness import compare, windows
from dynatree.utils.files import write_text
from dynatree.workflow.model_arguments import add_model_arguments, load_models
from dynatree.workflow.script import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--prompts", type=Path, nargs="+", required=True, help="files of scripts/prepare_prompts.py")
parser.add_argument("--length", type=int, default=64, help="tokens of a prompt (default: %(default)s)")
parser.add_argument("--count", type=int, default=64, help="number of prompts (default: %(default)s)")
parser.add_argument("--new-tokens", type=int, default=160, help="tokens of an output (default: %(default)s)")
parser.add_argument("--methods", nargs="+", default=["chain"], help="default: %(default)s")
parser.add_argument("--strict-only", action="store_true", help="leave out the outputs without exact='strict'")
parser.add_argument("--output", type=Path, required=True, help="CSV: one row per prompt, method and mode")
parser.add_argument("--exclusive", action="store_true", help="run nothing else of any pipeline meanwhile")
add_model_arguments(parser)
options = parser.parse_args()


def main() -> None:
    pair = load_models(options, options)
    texts = [prompt["text"] for path in options.prompts for prompt in json.loads(path.read_text())["prompts"]]
    prompts = windows(pair.tokenizer, texts, options.length)[: options.count]
    modes = [True] if options.strict_only else [False, True]
    rows = pd.DataFrame(compare(pair, prompts, options.methods, options.new_tokens, modes))
    write_text(options.output, rows.to_csv(index=False, float_format="%.6g"))
    totals = rows.groupby(["dtype", "method", "strict"])[["compared", "divergences", "emitted", "seconds"]].sum()
    totals["per 10,000 tokens"] = 1e4 * totals["divergences"] / totals["compared"]
    totals["tokens per second"] = totals["emitted"] / totals["seconds"]
    print(totals.to_string())


run(
    main,
    reads=[options.target, options.draft, *options.prompts],
    writes=[options.output],
    arguments=options,
    exclusive=options.exclusive,
)
