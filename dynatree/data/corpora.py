"""Sources of prompt texts: files of prompts, local data sets, and data sets on the hub."""

import gc
import re
import unicodedata
from collections.abc import Generator, Iterator
from pathlib import Path

import yaml

from dynatree.errors import DynatreeError

COMMIT = re.compile(r"[0-9a-f]{40}")
TITLE = re.compile(r"= ([^=].*) =")
HEADING = re.compile(r"=.*=")
PUBLISHED_MIN = 200  # characters of the shortest text in the original's preparation
RUNNING_MIN = 100  # characters of the shortest paragraph of a book that counts as running text


def read_prompts(path: Path) -> dict:
    """Read a YAML file with "source" and "prompts"; each prompt has a unique "id" and a "text".

    Raises:
        DynatreeError: the file is missing, damaged or incomplete.
    """
    try:
        data = yaml.safe_load(path.read_text())
        ids = [prompt["id"] for prompt in data["prompts"] if prompt["text"].strip()]
        complete = len(set(ids)) == len(data["prompts"]) and "source" in data
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise DynatreeError(f"cannot read prompts from {path}: {error!r}") from error
    if not complete:
        raise DynatreeError(f"{path} needs a source, and prompts with different ids and text")
    return data


def rows(source: dict) -> Generator[tuple[str, str], None, None]:
    """Yield (name, text) of each row of a data set, lazily.

    Args:
        source: either ``path``, a parquet file with a column "text" or, for books, a folder of .txt files; or
            ``repository``, ``revision``, ``split`` and, if the data set has several, ``configuration`` on the hub.

    Raises:
        DynatreeError: the data set is missing, damaged, or cannot be reached.
    """
    if "path" not in source:
        yield from _from_hub(source)
    elif source["kind"] == "books" and not source["path"].endswith(".parquet"):
        yield from _from_folder(Path(source["path"]))
    else:
        yield from _from_parquet(Path(source["path"]))


def origin(source: dict) -> str:
    """Return a description by which a data set can be found."""
    if "path" in source:
        return source["path"]
    configuration = f" {source['configuration']}" if "configuration" in source else ""
    return f"{source['repository']}{configuration}, split {source['split']}, revision {source['revision']}"


def _from_folder(folder: Path) -> Iterator[tuple[str, str]]:
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise DynatreeError(f"{folder} is not a folder with *.txt; let source/path name one, with a book per file")
    for path in paths:
        try:
            yield path.stem, path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise DynatreeError(f"cannot read {path} ({error}); it must be plain text in UTF-8") from error


def _from_parquet(path: Path) -> Iterator[tuple[str, str]]:
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        columns = file.schema_arrow.names
        texts = file.read(columns=["text"])["text"].to_pylist() if "text" in columns else None
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these two
        raise DynatreeError(f"cannot read {path} as parquet ({error}); restore the file or correct the path") from error
    if texts is None:
        raise DynatreeError(f"{path} has no column 'text', but {', '.join(columns)}; use another file or rename one")
    yield from _numbered(path, texts)


def _from_hub(source: dict) -> Iterator[tuple[str, str]]:
    missing = [key for key in ("repository", "revision", "split") if key not in source]
    if missing:
        raise DynatreeError(f"a source of kind {source['kind']} needs a path, or {', '.join(missing)} on the hub")
    if not COMMIT.fullmatch(source["revision"]):
        raise DynatreeError(
            f"{source['repository']}: revision {source['revision']!r} is no commit hash of 40 digits; "
            "branches and tags move, so pin a commit"
        )
    yield from _numbered(source["repository"], _stream(source))


def _stream(source: dict) -> Iterator[str | None]:
    import datasets

    print(f"streaming {origin(source)}", flush=True)
    try:
        stream = datasets.load_dataset(
            source["repository"],
            source.get("configuration"),
            split=source["split"],
            revision=source["revision"],
            streaming=True,
        )
        for row in stream:
            yield row.get("text")
    except Exception as error:  # the layers below, down to HTTP, raise errors without a common base class
        reason = (str(error).strip().splitlines() or ["no message"])[0]
        raise DynatreeError(
            f"cannot read {origin(source)} ({type(error).__name__}: {reason}); check the network and the names, or "
            "let source/path name a local copy"
        ) from error
    finally:
        # Reading threads of a partly read stream would abort the interpreter at exit.
        stream = None
        gc.collect()


def _numbered(place, texts) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise DynatreeError(f"row {number} of {place} has no string in a column 'text'; use another data set")
        yield f"row-{number}", text


def joined_paragraphs(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield paragraphs of WikiText as the original prepares them: lines joined up to an empty line or a heading.

    A paragraph that is too short is joined with the following lines, across headings.

    Returns:
        The id of the article in which the paragraph ends, as in :func:`articles`, and the text.
    """
    joined, article, number = "", "000-", 0
    for line in lines:
        if line.strip() and not line.startswith(" ="):
            joined += f" {line.strip()}"
        elif len(joined) >= PUBLISHED_MIN:
            yield article, joined.strip()
            joined = ""
        if heading := TITLE.fullmatch(line.strip()):
            article, number = f"{number:03d}-{_slug(heading[1])}", number + 1


def articles(lines: Iterator[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the articles of WikiText: an id, and the paragraphs without headings."""
    number, title, paragraphs = 0, None, []
    for line in lines:
        text = line.strip()
        if heading := TITLE.fullmatch(text):
            if title is not None:
                yield f"{number:03d}-{_slug(title)}", paragraphs
            number, title, paragraphs = number + 1, heading[1], []
        elif text and not HEADING.fullmatch(text):
            paragraphs.append(text)
    if title is not None:
        yield f"{number:03d}-{_slug(title)}", paragraphs


def _slug(title: str) -> str:
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def book_paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a book, line breaks included, without the license text of Project Gutenberg."""
    text = text.replace("\r\n", "\n")
    if start := re.search(r"^\*\*\* ?START OF.*$", text, re.MULTILINE):
        text = text[start.end() :]
    if end := re.search(r"^\*\*\* ?END OF", text, re.MULTILINE):
        text = text[: end.start()]
    return [paragraph.strip() for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]


def is_running(paragraph: str) -> bool:
    """Return True for running text, False for a heading, an ornament or a line of a table of contents."""
    return len(paragraph) >= RUNNING_MIN and sum(map(str.islower, paragraph)) > len(paragraph) / 2
