"""The ``dynatree`` command."""

import argparse
import inspect
import json
import sys
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.policies.registry import POLICIES, policy_options
from dynatree.version import __version__

GREEN, PLAIN = "\x1b[32m", "\x1b[0m"


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand and return the exit status: 0, 1 for a failed check, 2 for a mistake of the user."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except DynatreeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dynatree", description="Lossless tree speculative decoding.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_generate(commands.add_parser("generate", help="continue a prompt"))
    _add_check(commands.add_parser("check", help="verify that a target and a draft fit together"))
    _add_trace(commands.add_parser("trace", help="print the inputs that a file of the pipeline was made from"))
    return parser


def _add_models(parser: argparse.ArgumentParser, kind: type) -> None:
    parser.add_argument("--target", required=True, type=kind, help="folder or hub id of the target model")
    parser.add_argument("--draft", type=kind, help="folder or hub id of the draft model")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: %(default)s)")
    formats = "auto, float32, float16, bfloat16 or int8"
    parser.add_argument("--dtype", default="auto", help=f"{formats} (default: %(default)s)")


def _add_generate(parser: argparse.ArgumentParser) -> None:
    _add_models(parser, str)
    parser.add_argument("--method", default="dynatree", choices=POLICIES, help="default: %(default)s")
    parser.add_argument("--max-new-tokens", type=int, default=128, help="default: %(default)s")
    parser.add_argument("--backend", default="stock", help="stock, packed or auto (default: %(default)s)")
    parser.add_argument("--draft-weights", default="same", help="same, int8 or auto (default: %(default)s)")
    parser.add_argument("--compile", action="store_true", help="compile forward passes of static shapes, for a GPU")
    parser.add_argument("--ignore-eos", action="store_true", help="do not stop at an end-of-sequence token")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 decodes greedily (default: %(default)s)")
    parser.add_argument("--top-k", type=int, help="sample from this number of most likely tokens")
    parser.add_argument("--top-p", type=float, help="sample from the most likely tokens that reach this probability")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampling noise (default: %(default)s)")
    form = "NAME:OPTION=VALUE,... or JSON, such as streaming_llm:sinks=4,window=252"
    parser.add_argument("--draft-cache", metavar="METHOD", help=f"compress the draft's cache, without loss: {form}")
    parser.add_argument(
        "--target-cache", metavar="METHOD", help="compress the target's cache, which changes the output"
    )
    parser.add_argument("--draft-tokens", type=Path, help="JSON list of the only token ids the draft may propose")
    parser.add_argument(
        "--json", action="store_true", help="print tokens, text and statistics as JSON instead of streaming"
    )
    parser.add_argument("--color", action="store_true", help="mark accepted draft tokens green, the target's own plain")
    parser.add_argument("prompt")
    group = parser.add_argument_group("options of the methods")
    for name, (default, methods) in _method_options().items():
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, type=_value, metavar="VALUE", help=f"{', '.join(methods)} (default: {default})")
    parser.set_defaults(run=_generate)


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_models(parser, Path)
    parser.set_defaults(run=_check, device="cpu", dtype="float32")


def _add_trace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a file that the pipeline made, such as paper/demo/dynatree.pdf")
    parser.add_argument("value", nargs="?", help="follow only this number, as it is printed")
    parser.set_defaults(run=_trace)


def _method_options() -> dict[str, tuple[object, list[str]]]:
    """Return every option of any method, with its default and the methods that take it."""
    options: dict[str, tuple[object, list[str]]] = {}
    for method in POLICIES:
        for name, parameter in policy_options(method).items():
            default = None if parameter.default is inspect.Parameter.empty else parameter.default
            options.setdefault(name, (default, []))[1].append(method)
    return options


def _value(text: str):
    """Return a number, boolean or null as in JSON, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _generate(options: argparse.Namespace) -> int:
    from dynatree.decoding.engine import generate
    from dynatree.models.loading import load_pair

    chosen = {name: getattr(options, name) for name in _method_options() if getattr(options, name) is not None}
    draft = None if options.method == "autoregressive" else options.draft
    pair = load_pair(
        options.target,
        draft,
        options.device,
        options.dtype,
        _read_ids(options.draft_tokens),
        options.backend,
        options.draft_weights,
        options.compile,
    )
    out = generate(
        pair,
        options.prompt,
        options.method,
        options.max_new_tokens,
        eos_token_id=None if options.ignore_eos else "auto",
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        draft_cache=options.draft_cache,
        target_cache=options.target_cache,
        on_tokens=None if options.json else _Stream(pair.tokenizer, options.color),
        **chosen,
    )
    if options.json:
        print(json.dumps({"tokens": out.tokens, "text": out.text, "stats": _summary(out.stats)}, indent=2))
    else:
        print()
    return 0


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


def _summary(stats) -> dict:
    names = ("rounds", "draft_forwards", "drafted", "verified", "accepted", "drafted_depth")
    return {name: getattr(stats, name) for name in names} | {
        "seconds": stats.seconds,
        "caches": stats.caches,
        "trace": [vars(entry) for entry in stats.trace],
    }


class _Stream:
    """Print tokens as they are emitted, once their bytes form a complete character."""

    def __init__(self, tokenizer, color: bool):
        self.tokenizer = tokenizer
        self.color = color
        self.held: list[int] = []

    def __call__(self, tokens: list[int], accepted: int) -> None:
        for index, token in enumerate(tokens):
            self._print(token, drafted=index < accepted)

    def _print(self, token: int, drafted: bool) -> None:
        self.held.append(token)
        text = self.tokenizer.decode(self.held, skip_special_tokens=True)
        if text.endswith("\ufffd"):
            return
        self.held = []
        print(f"{GREEN}{text}{PLAIN}" if self.color and drafted else text, end="", flush=True)


def _check(options: argparse.Namespace) -> int:
    from dynatree.models.compatibility import check_pair

    good = True
    for finding in check_pair(options.target, options.draft, options.dtype, options.device):
        print(f"{'ok  ' if finding.good else 'FAIL'}  {finding.subject:20} {finding.detail}")
        good &= finding.good
    return 0 if good else 1


def _trace(options: argparse.Namespace) -> int:
    from dynatree.provenance.lineage import trace

    print("\n".join(trace(options.file, options.value)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
