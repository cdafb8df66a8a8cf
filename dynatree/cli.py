"""The ``dynatree`` command."""

import argparse
import inspect
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynatree.commands import bench, chat
from dynatree.commands.model_arguments import add_models, add_sampling
from dynatree.commands.printed_text import PrintedText
from dynatree.errors import DynatreeError
from dynatree.policies.registry import POLICIES, policy_options
from dynatree.utils.registry import parse_value
from dynatree.utils.terminal import print_all
from dynatree.utils.validate import at_least
from dynatree.version import __version__

if TYPE_CHECKING:
    from dynatree.decoding.results import Stats
    from dynatree.latency.cost_model import CostModel


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        arguments: the command line without the name of the program; None for that of the process.

    Returns:
        The exit status: 0, 1 for a failed check, 2 for a wrong argument or a full disk, 130 after an interrupt, 141
        for a closed pipe.
    """
    options = _parser().parse_args(arguments)
    try:
        return print_all(lambda: options.run(options))
    except (DynatreeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dynatree", description="Lossless tree speculative decoding.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_generate(commands.add_parser("generate", help="continue a prompt"))
    chat.add_arguments(commands.add_parser("chat", help="talk to a target on the terminal"))
    bench.add_arguments(commands.add_parser("bench", help="find the fastest way of decoding for a model"))
    _add_check(commands.add_parser("check", help="verify that a target and a draft fit together"))
    _add_trace(commands.add_parser("trace", help="list the inputs of a file that the pipeline made"))
    _add_arena(commands.add_parser("arena", help="compare free drafters on recorded outputs, without a model"))
    return parser


def _add_arena(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="recordings of one target (.npz)")
    parser.add_argument(
        "--nodes",
        type=int,
        nargs="+",
        default=[4, 8, 16, 32, 64],
        help="maximum nodes of a tree (default: %(default)s)",
    )
    parser.add_argument("--drafters", nargs="+", metavar="NAME", help="free drafters (default: all)")
    parser.add_argument("--latency", type=Path, help="latency.csv of a run; adds tokens per second under its costs")
    parser.add_argument("--ngram-table", type=Path, metavar="FILE", help="n-gram table of the target")
    parser.set_defaults(run=_arena)


def _add_generate(parser: argparse.ArgumentParser) -> None:
    add_models(parser)
    parser.add_argument("--method", default="cost_aware", choices=POLICIES, help="default: %(default)s")
    parser.add_argument("--max-new-tokens", type=int, default=128, help="default: %(default)s")
    parser.add_argument("--backend", default="auto", help="stock, small_batch, graphs or auto (default: %(default)s)")
    parser.add_argument("--device-map", help="spread the target over devices as accelerate does, for example auto")
    parser.add_argument("--ignore-eos", action="store_true", help="do not stop at an end-of-sequence token")
    add_sampling(parser)
    form = "NAME:OPTION=VALUE,... or JSON, for example streaming_llm:sinks=4,window=252"
    parser.add_argument("--draft-cache", metavar="METHOD", help=f"compress the draft's cache, without loss: {form}")
    parser.add_argument(
        "--target-cache", metavar="METHOD", help="compress the target's cache, which changes the output"
    )
    strict = "strict for the output of plain decoding in float16 and bfloat16 too, on a CPU"
    parser.add_argument("--exact", choices=["strict"], help=strict)
    parser.add_argument("--draft-tokens", type=Path, help="JSON list of the token ids that the draft may propose")
    parser.add_argument(
        "--json", action="store_true", help="print tokens, text and statistics as JSON instead of streaming"
    )
    parser.add_argument("--color", action="store_true", help="print accepted draft tokens in green")
    parser.add_argument(
        "--chat", action="store_true", help="give the prompt to the model as a message, in its chat template"
    )
    parser.add_argument("--system", help="with --chat: first message, with the role 'system'")
    parser.add_argument("prompt")
    group = parser.add_argument_group("options of the methods")
    for name, (default, methods) in _method_options().items():
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, type=parse_value, metavar="VALUE", help=f"{', '.join(methods)} (default: {default})")
    parser.set_defaults(run=_generate)


def _add_check(parser: argparse.ArgumentParser) -> None:
    add_models(parser)
    parser.set_defaults(run=_check, device="cpu", dtype="float32")


def _add_trace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", type=Path, help="a file that the pipeline made, for example paper/demo/dynatree.pdf"
    )
    parser.add_argument("value", nargs="?", help="follow only this number, as printed")
    parser.add_argument("--table", help="name the requests behind a row of this table, for example peers")
    parser.add_argument("--row", help="with --table: key or label of a method, for example fixed_tree")
    parser.add_argument("--column", help="with --table: data set, group, format or limit, for example narrative")
    parser.add_argument("--number", metavar="ID", help="id of a number of the text, as in paper/RUN/numbers.csv")
    parser.add_argument("--run", dest="run_name", default="demo", help="of --table or --number (default: %(default)s)")
    parser.set_defaults(run=_trace)


def _method_options() -> dict[str, tuple[object, list[str]]]:
    """Return every option of any method, with its default and the methods that take it."""
    options: dict[str, tuple[object, list[str]]] = {}
    for method in POLICIES:
        for name, parameter in policy_options(method).items():
            default = None if parameter.default is inspect.Parameter.empty else parameter.default
            options.setdefault(name, (default, []))[1].append(method)
    return options


def _generate(options: argparse.Namespace) -> int:
    from dynatree.decoding.engine import generate
    from dynatree.models.loading import load_pair

    if options.system and not options.chat:
        raise DynatreeError("--system is a message of a conversation; add --chat")
    chosen = {name: getattr(options, name) for name in _method_options() if getattr(options, name) is not None}
    draft = None if options.method == "autoregressive" else options.draft
    pair = load_pair(
        options.target,
        draft,
        options.device,
        options.dtype,
        _read_ids(options.draft_tokens) if draft or not options.draft else None,
        options.backend,
        options.device_map,
    )
    stream = None if options.json else PrintedText(pair.tokenizer, options.color)
    out = generate(
        pair,
        None if options.chat else options.prompt,
        options.method,
        options.max_new_tokens,
        eos_token_id=None if options.ignore_eos else "auto",
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        draft_cache=options.draft_cache,
        target_cache=options.target_cache,
        exact=options.exact,
        on_tokens=stream,
        messages=_messages(options) if options.chat else None,
        **chosen,
    )
    if stream is None:
        print(json.dumps({"tokens": out.tokens, "text": out.text, "stats": _summary(out.stats)}, indent=2))
    else:
        stream.finish(out.text or "")
    return 0


def _messages(options: argparse.Namespace) -> list[dict[str, str]]:
    """Return the prompt as a conversation."""
    system = [{"role": "system", "content": options.system}] if options.system else []
    return [*system, {"role": "user", "content": options.prompt}]


def _read_ids(path: Path | None) -> list[int] | None:
    if path is None:
        return None
    try:
        ids = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DynatreeError(f"cannot read token ids from {path}: {error}") from error
    if not isinstance(ids, list) or not all(isinstance(token, int) for token in ids):
        raise DynatreeError(f"{path} must hold a JSON list of token ids")
    return ids


def _summary(stats: "Stats") -> dict[str, Any]:
    names = ("rounds", "draft_forwards", "drafted", "verified", "accepted", "drafted_depth")
    return {name: getattr(stats, name) for name in names} | {
        "seconds": stats.seconds,
        "caches": stats.caches,
        "rounds_log": [entry.counts() for entry in stats.rounds_log],
    }


def _check(options: argparse.Namespace) -> int:
    from dynatree.models.compatibility import check_pair

    good = True
    for finding in check_pair(options.target, options.draft, options.dtype, options.device):
        print(f"{'ok  ' if finding.good else 'FAIL'}  {finding.subject:20} {finding.detail}")
        good &= finding.good
    return 0 if good else 1


def _trace(options: argparse.Namespace) -> int:
    if options.table:
        from dynatree.provenance.cell import trace_cell

        folder = Path("results") / options.run_name
        lines = trace_cell(folder, options.table, options.row or "", options.column)
    elif options.number:
        from dynatree.provenance.printed import trace_printed

        lines = trace_printed(options.run_name, options.number)
    elif options.file:
        from dynatree.provenance.lineage import trace

        lines = trace(options.file, options.value)
    else:
        raise DynatreeError("name a file, a cell with --table and --row, or a number with --number")
    print("\n".join(lines))
    return 0


def _arena(options: argparse.Namespace) -> int:
    from dynatree.arena.contest import as_text, contest, default_drafters
    from dynatree.arena.recording import read_recording
    from dynatree.models.ngram_table import load_table

    costs = _target_costs(options.latency) if options.latency else None
    at_least(1, nodes=min(options.nodes))
    table = load_table(options.ngram_table) if options.ngram_table else None
    recordings = [read_recording(path) for path in options.files]
    drafters = options.drafters or default_drafters(costs, table)
    print(as_text(contest(recordings, drafters, options.nodes, costs, table)))
    return 0


def _target_costs(path: Path) -> "CostModel":
    import pandas as pd

    from dynatree.analysis.work import latencies

    try:
        return latencies(pd.read_csv(path))["target"]
    except (ValueError, KeyError) as error:
        raise DynatreeError(f"{path} is no table of latencies ({error}); the pipeline writes latency.csv") from error


if __name__ == "__main__":
    sys.exit(main())
