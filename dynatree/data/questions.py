"""Files of questions, one JSON object a line, as MT-bench and Spec-Bench keep them."""

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

from dynatree.data.chat import conversation_tokens
from dynatree.data.download import download
from dynatree.errors import DynatreeError
from dynatree.utils.locks import file_lock

FETCHED = Path("resources/texts")
GITHUB = "https://raw.githubusercontent.com"


def questions(source: dict[str, Any], tokenizer: Any) -> list[dict[str, Any]]:
    """Return the prompts of a file of questions, with the first turn in the chat template of the tokenizer.

    Args:
        source: ``path`` of a local file; or ``repository``, ``revision``, ``file`` and ``sha256`` of a file on GitHub.
            ``categories`` chooses questions; all by default.
        tokenizer: of the target.

    Returns:
        "id", "article", "text" (the first turn), "tokens", "category" and "turns" of each question. The categories take
        turns, so that the first questions are of all of them.

    Raises:
        DynatreeError: the file is missing, damaged or cannot be fetched, or has no question of a category.
    """
    path = Path(source["path"]) if "path" in source else _fetched(source)
    found = [
        question for question in _read(path) if question["category"] in source.get("categories", [question["category"]])
    ]
    missing = set(source.get("categories", ())) - {question["category"] for question in found}
    if missing:
        raise DynatreeError(f"{path} has no question of category {min(missing)!r}; correct source/categories")
    return [
        {
            "id": str(question["question_id"]),
            "article": str(question["question_id"]),
            "text": question["turns"][0],
            "tokens": conversation_tokens(tokenizer, question["turns"][:1]),
            "category": question["category"],
            "turns": question["turns"],
        }
        for question in _categories_in_turn(found)
    ]


def questions_origin(source: dict[str, Any]) -> str:
    """Return a description by which a file of questions can be found."""
    place = source["path"] if "path" in source else f"{source['repository']}, {source['file']}, {source['revision']}"
    return f"{place}; {', '.join(source['categories'])}" if "categories" in source else place


def _categories_in_turn(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first question of each category, then the second of each, and so on."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for question in found:
        groups.setdefault(question["category"], []).append(question)
    return [question for turn in zip_longest(*groups.values()) for question in turn if question]


def _fetched(source: dict[str, Any]) -> Path:
    """Return a file of a GitHub repository, which is downloaded once and checked by its hash."""
    path = FETCHED / source["sha256"][:16] / Path(source["file"]).name
    url = f"{GITHUB}/{source['repository']}/{source['revision']}/{source['file']}"
    with file_lock(path.with_suffix(".lock"), exclusive=True, holder=f"another process that fetches {path}"):
        try:
            download(url, path, source["sha256"])
        except DynatreeError as error:
            raise DynatreeError(f"{error}; or let source/path name a local copy") from error
    return path


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines if line.strip()]
        complete = all(
            str(one["question_id"])
            and isinstance(one["category"], str)
            and one["turns"]
            and all(map(str.strip, one["turns"]))
            for one in found
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DynatreeError(f"cannot read questions from {path}: {error!r}") from error
    if not complete:
        raise DynatreeError(f"{path} needs question_id, category and turns of text in every line")
    return found
