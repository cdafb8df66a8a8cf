"""The prompts of a benchmark: a file of the user, a known workload, or a small set of several kinds of text."""

import json
from contextlib import chdir
from itertools import zip_longest
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from dynatree.config.load import load_config
from dynatree.data.questions import questions
from dynatree.errors import DynatreeError
from dynatree.models.positions import served_positions
from dynatree.utils.paths import ROOT, repository_path

SPEC_BENCH = "config/specbench.yaml"
SHIPPED = {
    "humaneval": "config/prompts/humaneval.jsonl",
    "gsm8k": "config/prompts/gsm8k_test.jsonl",
    "mtbench": "config/prompts/mtbench.jsonl",
}
FIELDS = ("prompt", "text", "question", "instruction")
DEFAULT = (
    "The lighthouse keeper climbed the stairs every evening, and on the last night of the year he",
    "Photosynthesis is the process by which plants turn light into chemical energy. Its two stages are",
    'def read_settings(path):\n    """Return the settings of a file as a dictionary."""\n',
    "Dear colleagues,\n\nthe meeting of Thursday moves to Friday at ten. Please bring the following documents:\n-",
    "Question: A train travels 180 kilometers in two hours. How far does it travel in five hours?\nAnswer:",
    "Ingredients: flour, sugar, butter, two eggs, lemon.\nMethod: First, mix the flour and the sugar. Then",
    "name,city,year\nAnna,Lisbon,2019\nBruno,Turin,2020\nClara,Ghent,2021\nDavid,",
    "The committee found three reasons for the delay. The first reason was the weather. The second reason was",
)


def default_prompts() -> list[str]:
    """Return short prompts of different kinds: stories, facts, code, letters, questions, recipes, tables, reports."""
    return list(DEFAULT)


def workload_prompts(name: str, tokenizer: Any) -> list[list[int]]:
    """Return the token ids of the prompts of a workload, its categories in turn.

    Each prompt is the first turn of a question in the chat template of the tokenizer, as in the pipeline.

    Args:
        name: one of :data:`dynatree.user_bench.plan.WORKLOADS`. "specbench" needs a fetched file, too.
        tokenizer: of the target.

    Raises:
        DynatreeError: a file is missing, or cannot be fetched.
    """
    repository_path(SHIPPED.get(name, SPEC_BENCH))
    sources = [{"path": SHIPPED[name]}] if name in SHIPPED else _spec_bench()
    by_category: dict[str, list[list[int]]] = {}
    with chdir(ROOT):  # sources name files of the repository
        for source in sources:
            for question in _questions(source, tokenizer):
                by_category.setdefault(question["category"], []).append(question["tokens"])
    return [tokens for one_each in zip_longest(*by_category.values()) for tokens in one_each if tokens]


def fitting(prompts: list[list[int]], target: str, new_tokens: int) -> list[list[int]]:
    """Return the prompts that leave room for the output in the positions of the target.

    Args:
        prompts: token ids.
        target: folder or hub id.
        new_tokens: tokens of the output.

    Raises:
        DynatreeError: no prompt fits.
    """
    positions = served_positions(AutoConfig.from_pretrained(target))
    found = [tokens for tokens in prompts if len(tokens) + new_tokens <= positions]
    if not found:
        raise DynatreeError(f"no prompt and {new_tokens} new tokens fit the {positions} positions of the target")
    return found


def _spec_bench() -> list[dict[str, Any]]:
    """Return the sources of the categories of Spec-Bench."""
    return [section["source"] for section in load_config(ROOT / SPEC_BENCH)["prompts"].values()]


def _questions(source: dict[str, Any], tokenizer: Any) -> list[dict[str, Any]]:
    try:
        return questions(source, tokenizer)
    except DynatreeError as error:
        place = f" in {SPEC_BENCH}" if "repository" in source else ""
        raise DynatreeError(f"{error}{place}") from error


def read_prompts(path: Path) -> list[str]:
    """Return the prompts of a file: one a line, or JSON lines of texts or of objects with a text.

    Args:
        path: a file that ends in ".jsonl" holds a JSON value a line: a string, or an object with one of ``FIELDS``.
            Empty lines do not count.

    Raises:
        DynatreeError: the file cannot be read, is empty, or a line has another form; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DynatreeError(f"cannot read prompts from {path}: {error}") from error
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise DynatreeError(f"{path} holds no prompt; write one a line")
    return [_of_json(path, *one) if path.suffix == ".jsonl" else one[1] for one in numbered]


def _of_json(path: Path, number: int, line: str) -> str:
    try:
        value: Any = json.loads(line)
    except ValueError as error:
        raise DynatreeError(f"{path}, line {number}: {error}") from error
    text = next((value[name] for name in FIELDS if name in value), None) if isinstance(value, dict) else value
    if not isinstance(text, str) or not text:
        raise DynatreeError(f"{path}, line {number}: needs a text, or an object with one of {', '.join(FIELDS)}")
    return text
