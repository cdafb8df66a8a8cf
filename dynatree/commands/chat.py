"""``dynatree chat``: a conversation on the terminal."""

import argparse
import sys
from typing import TYPE_CHECKING

from dynatree.commands.model_arguments import add_models, add_sampling
from dynatree.commands.printed_text import PrintedText
from dynatree.errors import DynatreeError
from dynatree.policies.registry import POLICIES

if TYPE_CHECKING:
    from dynatree.decoding.past import Past
    from dynatree.decoding.results import Generation
    from dynatree.models.pair import ModelPair

HELP = "Write a message and press Enter. /reset starts again, /quit or the end of the input leaves."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_models(parser)
    parser.add_argument("--method", default="cost_aware", choices=POLICIES, help="default: %(default)s")
    parser.add_argument("--system", help="first message, which the chat template gives the role 'system'")
    parser.add_argument("--max-new-tokens", type=int, default=512, help="of a turn (default: %(default)s)")
    add_sampling(parser)
    parser.add_argument("--no-color", action="store_true", help="do not print accepted draft tokens in green")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read messages until the input ends, and print the turns of the target."""
    from dynatree.decoding.past import Past
    from dynatree.models.loading import load_pair

    draft = None if options.method == "autoregressive" else options.draft
    pair = load_pair(options.target, draft, options.device, options.dtype)
    print(HELP, file=sys.stderr)
    past = Past()
    first = [{"role": "system", "content": options.system}] if options.system else []
    messages = list(first)
    while (text := _read()) is not None:
        if text == "/reset":
            messages = list(first)
        elif text:
            messages.append({"role": "user", "content": text})
            try:
                out = _turn(pair, messages, options, past)
                messages.append({"role": "assistant", "content": out.text or ""})
            except KeyboardInterrupt:
                print()
                messages.pop()  # an interrupted turn leaves no trace
            except DynatreeError as error:
                print(f"error: {error}", file=sys.stderr)
                messages.pop()
    return 0


def _read() -> str | None:
    """Return the next message; None at the end of the input and after /quit."""
    print("> ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    text = line.strip()
    return None if not line or text == "/quit" else text


def _turn(pair: "ModelPair", messages: list[dict[str, str]], options: argparse.Namespace, past: "Past") -> "Generation":
    """Print and return the answer of the target, which reads what ``past`` lacks; the speed follows on stderr."""
    from dynatree.decoding.engine import generate

    printed = PrintedText(pair.tokenizer, color=not options.no_color)
    out = generate(
        pair,
        method=options.method,
        max_new_tokens=options.max_new_tokens,
        messages=messages,
        on_tokens=printed,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        past=past,
    )
    printed.finish(out.text or "")
    stats = out.stats
    speed = len(out.tokens) / max(stats.seconds["total"], 1e-9)
    shares = f"{stats.accepted} of {len(out.tokens)} tokens drafted, {stats.rounds} rounds"
    print(f"[{speed:.1f} tokens per second, {shares}, {stats.seconds['ttft']:.2f} s to the first]", file=sys.stderr)
    return out
