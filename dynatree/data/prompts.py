"""Prompts of a data set as token ids: some for measuring, others for tuning."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from transformers import AutoConfig, AutoTokenizer

from dynatree.data.corpora import (
    PUBLISHED_MIN,
    articles,
    book_paragraphs,
    is_running,
    joined_paragraphs,
    origin,
    read_prompts,
    rows,
)
from dynatree.data.questions import questions, questions_origin
from dynatree.errors import DynatreeError
from dynatree.models.positions import served_positions

COMPLETE = ("file", "questions")  # kinds of sources with complete prompts
FRONT_MATTER = 0.1  # share of a book that title pages, prefaces and contents may take

Prompt = dict  # with "id", "article", "text" and "tokens"
Cut = Callable[[Iterable[str]], tuple[Prompt, int] | None]


def prepare(settings: dict, tokenizer_folder: Path, limits: dict) -> dict:
    """Read, cut, tokenize and check the prompts of a data set.

    Args:
        settings: the data set's section of the configuration: "name", "stands_for", "source", "count" and "tuning";
            for real data sets also "mode" and "length". In mode "tokens" texts are cut to ``length`` tokens; in mode
            "published" to at most ``length`` characters, as the original does.
        tokenizer_folder: folder of the target with its tokenizer.
        limits: "min" and "max" tokens of a prompt; "new_tokens" and "tuning_new_tokens", which measured and tuning
            prompts must leave free of the model's positions.

    Returns:
        "stands_for", "source" as a text, "prompts" and "tuning": each prompt has "id", "article" (or
        book, whose prompts are not independent), "text" and "tokens". A question also has "category" and "turns".

    Raises:
        DynatreeError: too few usable texts, a prompt that is too short, too long or repeated, or an unreadable
            source. No other text replaces them.
    """
    _check_settings(settings)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    limits = limits | {"positions": served_positions(AutoConfig.from_pretrained(tokenizer_folder))}
    if settings.get("mode") == "tokens":  # checked before any download
        _check_length(f"{settings['name']}: every prompt", settings["length"], limits, limits["new_tokens"])
    source, prompts = _read(settings, tokenizer)
    count = settings["count"]
    _check_prompts(settings["name"], prompts, count, limits)
    return {
        "stands_for": settings["stands_for"],
        "source": source,
        "prompts": prompts[:count],
        "tuning": prompts[count:],
    }


def _read(settings: dict, tokenizer) -> tuple[str, list[Prompt]]:
    """Return a description of the origin and the prompts: the measured ones, then those for tuning."""
    source, count, needed = settings["source"], settings["count"], settings["count"] + settings["tuning"]
    if source["kind"] == "file":
        data = read_prompts(Path(source["path"]))
        found = [{key: prompt[key] for key in ("id", "text")} for prompt in data["prompts"]]
        _check_number(source["path"], found, needed)
        # Tuning prompts come from the end, so that measuring more prompts does not change them.
        chosen = found[:count] + found[len(found) - settings["tuning"] :]
        return data["source"], [
            prompt | {"article": prompt["id"], "tokens": tokenizer(prompt["text"]).input_ids} for prompt in chosen
        ]
    if source["kind"] == "questions":
        found = questions(source, tokenizer)
        _check_number(questions_origin(source), found, needed)
        return questions_origin(source), found[:count] + found[len(found) - settings["tuning"] :]
    prepare_mode, description = MODES[source["kind"], settings["mode"]]
    with closing(rows(source)) as texts:
        found = prepare_mode(texts, settings, tokenizer)
    _check_number(origin(source), found, needed)
    return f"{origin(source)}; {description.format(**settings)}", found[:needed]


def _published_wikitext(texts: Iterator[tuple[str, str]], settings: dict, tokenizer) -> list[Prompt]:
    # The original collects three times as many texts as it measures and takes the first of them.
    paragraphs = islice(joined_paragraphs(text for _, text in texts), 3 * settings["count"])
    named = ((f"text-{number}", article, text) for number, (article, text) in enumerate(paragraphs, start=1))
    return _first_characters(named, settings, tokenizer)


def _published_books(texts: Iterator[tuple[str, str]], settings: dict, tokenizer) -> list[Prompt]:
    named = ((name, name, text) for name, text in texts if len(text) >= PUBLISHED_MIN)
    return _first_characters(named, settings, tokenizer)


def _first_characters(texts: Iterator[tuple[str, str, str]], settings: dict, tokenizer) -> list[Prompt]:
    """Return prompts from texts with their ids and articles."""
    taken = islice(texts, settings["count"] + settings["tuning"])
    cut = [(name, article, text.strip()[: settings["length"]]) for name, article, text in taken]
    return [
        {"id": name, "article": article, "text": text, "tokens": tokenizer(text).input_ids}
        for name, article, text in cut
    ]


def _wikitext_by_article(texts: Iterator[tuple[str, str]], settings: dict, tokenizer) -> list[Prompt]:
    cut = _cutter(tokenizer, settings["length"])
    passages = ((name, cut(paragraphs)) for name, paragraphs in articles(text for _, text in texts))
    usable = ({"id": name, "article": name} | passage[0] for name, passage in passages if passage)
    return list(islice(usable, settings["count"] + settings["tuning"]))


def _books_by_place(texts: Iterator[tuple[str, str]], settings: dict, tokenizer) -> list[Prompt]:
    """One passage of each book, or several if the books are fewer than the prompts."""
    cut, needed = _cutter(tokenizer, settings["length"]), settings["count"] + settings["tuning"]
    books = ((name, book_paragraphs(text)) for name, text in texts)
    books = list(islice((book for book in books if _passages(book, 1, cut)), needed))
    by_book = []
    for share in range(-(-needed // len(books)), needed + 1) if books else ():
        by_book = [_passages(book, share, cut) for book in books]
        if sum(map(len, by_book)) >= needed:  # otherwise a short book has less than its share
            break
    # Alternating between books, so that measured and tuning prompts both come from several.
    longest = max(map(len, by_book), default=0)
    return [passages[place] for place in range(longest) for passages in by_book if place < len(passages)]


def _passages(book: tuple[str, list[str]], share: int, cut: Cut) -> list[Prompt]:
    """Up to ``share`` passages at even distances after the front matter, without overlap."""
    name, paragraphs = book
    offsets = [0]
    for paragraph in paragraphs:
        offsets.append(offsets[-1] + len(paragraph))
    passages, free = [], 0
    for number in range(share):
        place = offsets[-1] * (FRONT_MATTER + (1 - FRONT_MATTER) * number / share)
        for start in range(free, len(paragraphs)):
            if offsets[start] < place or not is_running(paragraphs[start]):
                continue
            if passage := cut(islice(paragraphs, start, None)):
                prompt, used = passage
                passages.append({"id": f"{name}-{number + 1}", "article": name} | prompt)
                free = start + used
                break
    return passages


def _cutter(tokenizer, length: int) -> Cut:
    """Return a function that joins paragraphs to a prompt of exactly ``length`` tokens and counts them.

    The function returns None if the text is too short or the cut would fall inside a character.
    """

    def cut(paragraphs: Iterable[str]) -> tuple[Prompt, int] | None:
        joined = []
        for paragraph in paragraphs:
            joined.append(paragraph)
            tokens = tokenizer("\n\n".join(joined)).input_ids[:length]
            if len(tokens) == length:
                text = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
                return (
                    None
                    if text.endswith("\N{REPLACEMENT CHARACTER}")
                    else ({"text": text, "tokens": tokens}, len(joined))
                )
        return None

    return cut


# (kind, mode) -> function that prepares the prompts, and its description in the paper
MODES = {
    ("wikitext", "published"): (_published_wikitext, "joined lines, cut to {length} characters as in the original"),
    ("wikitext", "tokens"): (_wikitext_by_article, "one passage of {length} tokens per article"),
    ("books", "published"): (_published_books, "the first {length} characters of each book, as in the original"),
    ("books", "tokens"): (_books_by_place, "passages of {length} tokens after the front matter of each book"),
}


def _check_settings(settings: dict) -> None:
    label, kind, mode = settings["name"], settings["source"]["kind"], settings.get("mode")
    kinds = sorted({*COMPLETE, *(kind for kind, _ in MODES)})
    if kind not in kinds:
        raise DynatreeError(f"{label}: unknown kind of source {kind!r}; choose one of {', '.join(kinds)}")
    if kind in COMPLETE:
        if mode is not None or "length" in settings:
            raise DynatreeError(f"{label}: prompts of a file are not cut; remove mode and length")
        return
    if (kind, mode) not in MODES:
        modes = sorted({mode for _, mode in MODES})
        raise DynatreeError(f"{label}: unknown mode {mode!r}; choose one of {', '.join(modes)}")
    if settings.get("length", 0) < 1:
        raise DynatreeError(f"{label}: mode {mode} needs a length of at least 1")


def _check_number(place: str, found: list, needed: int) -> None:
    if len(found) < needed:
        raise DynatreeError(
            f"{place} has {len(found)} usable prompts, but {needed} are asked for (count and tuning, which must not "
            "overlap); lower them, shorten the prompts, or use more text"
        )


def _check_prompts(label: str, prompts: list[Prompt], count: int, limits: dict) -> None:
    ids, texts = set(), set()
    for index, prompt in enumerate(prompts):
        name = f"{label}: prompt {prompt['id']!r}"
        if prompt["id"] in ids or tuple(prompt["tokens"]) in texts:
            raise DynatreeError(f"{name} is repeated; measured and tuning prompts must all differ in id and text")
        ids.add(prompt["id"])
        texts.add(tuple(prompt["tokens"]))
        new_tokens = limits["new_tokens" if index < count else "tuning_new_tokens"]
        _check_length(name, len(prompt["tokens"]), limits, new_tokens)


def _check_length(name: str, length: int, limits: dict, new_tokens: int) -> None:
    shortest, longest, positions = limits["min"], limits["max"], limits["positions"]
    if not shortest <= length <= longest:
        raise DynatreeError(
            f"{name} has {length} tokens, outside {shortest} to {longest}; change prompt_tokens or the prompt"
        )
    if length + new_tokens > positions:
        raise DynatreeError(
            f"{name} ({length} tokens) and {new_tokens} more exceed the model's {positions} positions; "
            "lower new_tokens or shorten the prompts"
        )
