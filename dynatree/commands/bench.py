"""``dynatree bench``: measure, verify and compare benchmarks of the user's own models."""

import argparse
import math
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynatree.commands.model_arguments import add_device
from dynatree.errors import DynatreeError
from dynatree.user_bench.plan import SHORT_TEXTS, WORKLOADS

if TYPE_CHECKING:
    from dynatree.benchmark.records import Measurement
    from dynatree.user_bench.measure import Bench

NEEDED = ("pandas", "scipy", "matplotlib", "yaml")
EMBEDDED = "config/demo.yaml"
WARM_UP = "A short text of its own warms up the models before anything is measured. It says that"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "action", nargs="*", metavar="verify DIR | compare DIR ...", help="check or compare folders of results instead"
    )
    parser.add_argument("--target", help="folder or hub id of the target (default: the embedded pair)")
    parser.add_argument("--draft", action="append", default=[], help="folder or hub id of a draft; may be repeated")
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument("--prompts", type=Path, metavar="FILE", help="one prompt a line, or JSON lines (.jsonl)")
    prompts.add_argument("--workload", choices=WORKLOADS, help="questions in the chat template of the target")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="methods beside plain decoding")
    parser.add_argument("--new-tokens", type=int, default=32, help="of each request (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=1, help="of each request (default: %(default)s)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=2.0,
        help="time to measure; decides how many prompts, of which four are the minimum (default: %(default)g)",
    )
    add_device(parser)
    parser.add_argument("--backend", default="auto", help="stock, small_batch, graphs or auto (default: %(default)s)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the results (default: bench-TARGET)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run a benchmark, or check or compare folders; return the exit status, 1 for a folder with contradictions."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise DynatreeError(f"dynatree bench needs {', '.join(missing)}; run pip install 'dynatree[bench]'")
    match options.action:
        case []:
            return _measure(options)
        case ["verify", folder]:
            return _verify(Path(folder))
        case ["compare", _, *_]:
            from dynatree.user_bench.folder import compare_folders

            print(compare_folders([Path(folder) for folder in options.action[1:]]))
            return 0
        case _:
            raise DynatreeError("use 'dynatree bench', 'dynatree bench verify DIR' or 'dynatree bench compare DIR ...'")


def _verify(folder: Path) -> int:
    from dynatree.user_bench.folder import verify

    wrong = verify(folder)
    for problem in wrong:
        print(f"FAIL  {problem}")
    if not wrong:
        print("ok    hashes, counts, tokens and intervals follow from the raw records")
    return 1 if wrong else 0


def _measure(options: argparse.Namespace) -> int:
    from dynatree.models.loading import load_tokenizer
    from dynatree.user_bench.folder import write_folder
    from dynatree.user_bench.measure import Bench
    from dynatree.user_bench.plan import DEFAULT_METHODS, Plan, arms
    from dynatree.user_bench.prompts import fitting
    from dynatree.user_bench.report import answer, table
    from dynatree.user_bench.results import recommend, rows_of

    if options.target is None:
        if options.draft:
            raise DynatreeError("--draft needs --target; without both, the embedded pair is measured")
        options.target, options.draft = _embedded_pair()
    for name in ("new_tokens", "repetitions"):
        if getattr(options, name) < 2 - (name == "repetitions"):
            raise DynatreeError(f"--{name.replace('_', '-')} is too small")
    if not 0 < options.minutes < math.inf:
        raise DynatreeError(f"--minutes must be a positive number, not {options.minutes}")
    plan = Plan(
        str(options.target),
        [str(draft) for draft in options.draft],
        tuple(options.methods or DEFAULT_METHODS),
        options.new_tokens,
        options.repetitions,
        options.device,
        options.dtype,
        options.backend,
        options.workload or (options.prompts.name if options.prompts else SHORT_TEXTS),
        options.minutes,
    )
    arms(plan)  # raises before anything is loaded
    tokenizer = load_tokenizer(plan.target)
    prompts = _prompts(options, tokenizer)
    fit = fitting(prompts, plan.target, plan.new_tokens)
    if len(fit) < len(prompts):
        print(f"{len(prompts) - len(fit)} of {len(prompts)} prompts are too long for the target", file=sys.stderr)
    folder = options.output or Path(f"bench-{Path(plan.target).name}")
    bench = Bench(plan, fit, tokenizer(WARM_UP).input_ids, folder)
    interrupted = _run(bench)
    found = bench.so_far()
    drafts = {arm.name: arm.draft for arm in found.arms}
    rows = rows_of(found.measurements)
    if rows:
        write_folder(found, folder)
        print(table(rows))
        print()
    print(answer(recommend(found.measurements, plan.target, drafts), found.finished, found.planned))
    print(f"\nResults: {folder}/index.html, {folder}/results.csv")
    return 130 if interrupted else 0


def _prompts(options: argparse.Namespace, tokenizer: Any) -> list[list[int]]:
    """Return the token ids of the prompts that the options name."""
    from dynatree.user_bench.prompts import default_prompts, read_prompts, workload_prompts

    if options.workload:
        return workload_prompts(options.workload, tokenizer)
    texts = read_prompts(options.prompts) if options.prompts else default_prompts()
    return [tokenizer(text).input_ids for text in texts]


def _run(bench: "Bench") -> bool:
    """Measure; return True if the user has interrupted it."""
    try:
        bench.run(_LiveTable())
    except KeyboardInterrupt:
        print("\ninterrupted; finished requests are kept", file=sys.stderr)
        return True
    return False


class _LiveTable:
    """Prints the table of results on a terminal after each prompt, within a session in place of the earlier one."""

    def __init__(self) -> None:
        self.lines = 0
        self.sessions = 0

    def __call__(self, measurements: "dict[str, Measurement]") -> None:
        if not sys.stderr.isatty():
            return
        from tqdm import tqdm

        from dynatree.user_bench.report import table
        from dynatree.user_bench.results import rows_of

        width = shutil.get_terminal_size().columns - 1  # a wrapped line would take two
        lines = [line[:width] for line in table(rows_of(measurements)).splitlines()]
        sessions = sum(len(found.sessions) for found in measurements.values())
        if sessions != self.sessions:  # which has printed lines of its own below the table
            self.lines, self.sessions = 0, sessions
        up = f"\x1b[{self.lines}A" if self.lines else ""
        tqdm.write(up + "\n".join(f"{line}\x1b[K" for line in lines), file=sys.stderr)
        self.lines = len(lines)


def _embedded_pair() -> tuple[Path, list[Path]]:
    """Return the folders of the embedded target, fetched if it is missing, and of the embedded draft.

    Raises:
        DynatreeError: the package is installed without its repository.
    """
    from dynatree.config.load import load_config
    from dynatree.data.checkpoints import fetch
    from dynatree.utils.files import MANIFEST
    from dynatree.utils.paths import ROOT

    if not (ROOT / EMBEDDED).is_file():
        raise DynatreeError("the embedded pair is part of the repository, not of the package; name a model: --target")
    models = load_config(ROOT / EMBEDDED)["models"]
    target = ROOT / "resources/models" / models["target"]["name"]
    if not (target / MANIFEST).is_file():
        print(f"fetching {models['target']['label']}", file=sys.stderr)
        fetch(models["target"]["source"], target)
    return target, [ROOT / models["draft"]["source"]["path"]]
