"""Prompts from files, WikiText and books: what is cut where, and what is refused."""

import json
import subprocess
import weakref
from itertools import pairwise
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dynatree import DynatreeError
from dynatree.data.prompts import prepare
from dynatree.data.random_model import byte_tokenizer, save_tiny_checkpoint
from dynatree.utils.files import read_json

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared/data"
LIMITS = {"min": 2, "max": 900, "new_tokens": 10, "tuning_new_tokens": 10}
COMMIT = "b08601e04326c79dfdd32d625aee71d232d685c3"
SENTENCE = "The keeper of the lighthouse wrote in his book that on this day nothing at all had come by. "


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A byte tokenizer, and a model of 1024 positions."""
    folder = tmp_path_factory.mktemp("model")
    save_tiny_checkpoint(folder, "llama", seed=0, layers=1, noise=0)
    return folder


def section(source: dict, count: int = 2, tuning: int = 1, **cut) -> dict:
    return {"name": "L", "stands_for": "PG-19", "source": source, "count": count, "tuning": tuning} | cut


def parquet(path: Path, lines: list, column: str = "text") -> dict:
    pyarrow.parquet.write_table(pyarrow.table({column: lines}), path)
    return {"kind": "wikitext", "path": str(path)}


def article(number: int, paragraphs: int = 3) -> list[str]:
    body = [f" Paragraph {part} of article {number} . {SENTENCE * 2}\n" for part in range(paragraphs)]
    return ["", f" = Article {number} = \n", "", *body[:1], "", " = = Section = = \n", "", *body[1:], ""]


def wikitext(folder: Path, articles: int = 6) -> dict:
    lines = [line for number in range(articles) for line in article(number)]
    return parquet(folder / "wikitext.parquet", lines)


def book(name: str, paragraphs: int) -> str:
    front = f"{name.upper()}\n\n by Nobody\n\nCHAPTER I\n\n"
    return front + "\n\n".join(f"{part} in {name}. {SENTENCE}\n{SENTENCE}" for part in range(paragraphs)) + "\n"


def library(folder: Path, books: dict[str, int]) -> dict:
    (folder / "books").mkdir(exist_ok=True)
    for name, paragraphs in books.items():
        (folder / f"books/{name}.txt").write_text(book(name, paragraphs))
    return {"kind": "books", "path": str(folder / "books")}


def prompt_file(folder: Path, prompts: list) -> dict:
    (folder / "prompts.yaml").write_text(yaml.safe_dump({"source": "S", "prompts": prompts}))
    return {"kind": "file", "path": str(folder / "prompts.yaml")}


def every_prompt(prepared: dict) -> list[dict]:
    return prepared["prompts"] + prepared["tuning"]


# Files of prompts


@pytest.mark.parametrize("name", ["encyclopaedic", "narrative"])
def test_built_in_prompts_have_the_promised_lengths(embedded_target, name):
    source = {"kind": "file", "path": str(ROOT / f"config/prompts/{name}.yaml")}
    limits = {"min": 40, "max": 200, "new_tokens": 1500, "tuning_new_tokens": 1500}
    prepared = prepare(section(source, count=8, tuning=2), embedded_target, limits)
    assert len({tuple(prompt["tokens"]) for prompt in every_prompt(prepared)}) == 10


def test_a_file_gives_its_first_prompts_for_measuring_and_its_last_for_tuning(tmp_path, model):
    source = prompt_file(tmp_path, [{"id": name, "text": name * 5} for name in "abcde"])
    prepared = prepare(section(source, count=2, tuning=1), model, LIMITS)
    assert [prompt["id"] for prompt in prepared["prompts"]] == ["a", "b"]
    assert [prompt["id"] for prompt in prepared["tuning"]] == ["e"]
    assert prepared["tuning"][0]["tokens"] == byte_tokenizer()("eeeee").input_ids
    assert {key: prepared[key] for key in ("stands_for", "source")} == {
        "stands_for": "PG-19",
        "source": "S",
    }


TWO = [{"id": "a", "text": "long enough"}, {"id": "b", "text": "this one too"}]


@pytest.mark.parametrize(
    ("prompts", "changes", "limits", "message"),
    [
        (TWO, {"count": 3, "tuning": 0}, {}, "has 2 usable prompts, but 3 are asked for"),
        (TWO, {"count": 2, "tuning": 1}, {}, "must not overlap"),
        ([], {}, {}, "has 0 usable prompts"),
        ([{"id": "a", "text": "x"}, TWO[1]], {}, {}, "prompt 'a' has 1 tokens, outside 2 to 900"),
        (TWO, {}, {"max": 11}, "prompt 'b' has 12 tokens, outside 2 to 11"),
        (TWO, {}, {"new_tokens": 1014}, r"prompt 'a' \(11 tokens\) and 1014 more exceed the model's 1024 positions"),
        (TWO, {}, {"tuning_new_tokens": 1013}, r"prompt 'b' \(12 tokens\) and 1013 more exceed"),
        ([TWO[0]] * 2, {}, {}, "different ids"),
        (
            [TWO[0], TWO[0] | {"id": "c"}],
            {},
            {},
            "prompt 'c' is repeated; measured and tuning prompts must all differ",
        ),
        ([{"id": "a"}], {}, {}, "cannot read prompts"),
        ([{"id": "a", "text": " "}], {}, {}, "different ids and text"),
        (TWO, {"mode": "tokens", "length": 5}, {}, "are not cut; remove mode and length"),
    ],
)
def test_unusable_prompts_are_named(tmp_path, model, prompts, changes, limits, message):
    settings = section(prompt_file(tmp_path, prompts), **({"count": 1, "tuning": 1} | changes))
    with pytest.raises(DynatreeError, match=message):
        prepare(settings, model, LIMITS | limits)


@pytest.mark.parametrize("content", [None, "prompts: [", "source: S", b"\xff\xfe"])
def test_a_missing_or_damaged_file_is_named(tmp_path, model, content):
    path = tmp_path / "prompts.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DynatreeError, match=r"cannot read prompts from .*prompts\.yaml"):
        prepare(section({"kind": "file", "path": str(path)}), model, LIMITS)


# WikiText


def test_one_passage_per_article_without_headings(tmp_path, model):
    prepared = prepare(section(wikitext(tmp_path), count=3, tuning=2, mode="tokens", length=300), model, LIMITS)
    assert [prompt["id"] for prompt in every_prompt(prepared)] == [f"{n:03d}-article-{n - 1}" for n in range(1, 6)]
    for number, prompt in enumerate(every_prompt(prepared)):
        assert prompt["text"].startswith(f"Paragraph 0 of article {number} .")
        assert f"\n\nParagraph 1 of article {number} ." in prompt["text"]
        assert " = " not in prompt["text"] and len(prompt["tokens"]) == 300
    assert "wikitext.parquet; one passage of 300 tokens per article" in prepared["source"]


def test_an_article_that_is_too_short_is_skipped(tmp_path, model):
    source = parquet(tmp_path / "w.parquet", article(0, paragraphs=1) + article(1) + article(2, 1) + article(3))
    prepared = prepare(section(source, count=1, tuning=1, mode="tokens", length=400), model, LIMITS)
    assert [prompt["id"] for prompt in every_prompt(prepared)] == ["002-article-1", "004-article-3"]


def test_a_cut_inside_a_character_is_not_made(tmp_path, model):
    lines = [" = One = \n", " aaaaaa\N{EN DASH}bbbb \n", " = Two = \n", " ccccc\N{EN DASH}dddd \n"]
    source = parquet(tmp_path / "w.parquet", lines)
    prepared = prepare(section(source, count=1, tuning=0, mode="tokens", length=8), model, LIMITS)
    assert prepared["prompts"][0]["text"] == "ccccc\N{EN DASH}"


def test_published_preparation_joins_lines_and_keeps_what_is_too_short(tmp_path, model):
    short, long = "s" * 150, "l" * 250
    lines = [
        "",
        " = Title = \n",
        "",
        f" {short} \n",
        "",
        " = = Next = = \n",
        f" {long} \n",
        f" {long}b \n",
        "",
        f" {long} \n",
        "",
    ]
    source = parquet(tmp_path / "w.parquet", [*lines, f" {long} \n"])  # the last line is not closed, so not taken
    prepared = prepare(section(source, count=1, tuning=1, mode="published", length=800), model, LIMITS)
    assert [prompt["text"] for prompt in every_prompt(prepared)] == [f"{short} {long} {long}b", long]
    cut = prepare(section(source, count=1, tuning=1, mode="published", length=240), model, LIMITS)
    assert [len(prompt["text"]) for prompt in every_prompt(cut)] == [240, 240]
    with pytest.raises(DynatreeError, match="has 2 usable prompts, but 3 are asked for"):
        prepare(section(source, count=2, tuning=1, mode="published", length=800), model, LIMITS)


# Books


def test_each_book_gives_one_passage_while_there_are_enough(tmp_path, model):
    source = library(tmp_path, {"anna": 40, "bert": 40, "cora": 40, "dora": 40})
    prepared = prepare(section(source, mode="tokens", length=250), model, LIMITS)
    assert [prompt["id"] for prompt in every_prompt(prepared)] == ["anna-1", "bert-1", "cora-1"]
    for prompt in every_prompt(prepared):
        assert 3 <= int(prompt["text"].split()[0]) <= 5  # a paragraph's start, behind the first tenth


def test_two_books_give_ten_prompts_at_distinct_places(tmp_path, model):
    source = library(tmp_path, {"anna": 60, "bert": 9})
    prepared = prepare(section(source, count=8, tuning=2, mode="tokens", length=250), model, LIMITS)
    places = {"anna": [], "bert": []}
    for prompt in every_prompt(prepared):
        number, _, name = prompt["text"].split()[:3]
        places[name[:-1]].append(int(number))
    assert len(places["anna"]) > len(places["bert"]) > 1  # what the short book lacks, the long one gives
    assert all(b - a >= 2 for numbers in places.values() for a, b in pairwise(numbers))
    assert places["anna"][-1] > 45  # spread to the end


def test_the_text_around_a_gutenberg_book_is_left_out(tmp_path, model):
    source = library(tmp_path, {"anna": 12})
    path = tmp_path / "books/anna.txt"
    licence = f"Licence of the library. {SENTENCE * 2}\n\n"
    inner = f"*** START OF THE EBOOK ANNA ***\n{path.read_text()}*** END OF THE EBOOK ANNA ***\n"
    marked = licence * 40 + inner + licence * 40
    path.write_text(marked.replace("\n", "\r\n"), newline="")
    prepared = prepare(section(source, count=4, tuning=0, mode="tokens", length=250), model, LIMITS)
    assert not [prompt for prompt in prepared["prompts"] if "icence" in prompt["text"] or "***" in prompt["text"]]


def test_published_books_are_cut_from_their_very_beginning(tmp_path, model):
    source = library(tmp_path, {"anna": 9, "bert": 9, "cora": 9, "aron": 0})  # aron is too short
    prepared = prepare(section(source, mode="published", length=300), model, LIMITS)
    assert [prompt["id"] for prompt in every_prompt(prepared)] == ["anna", "bert", "cora"]
    assert prepared["prompts"][0]["text"] == book("anna", 9).strip()[:300]


@pytest.mark.parametrize(
    ("books", "cut", "message"),
    [
        ({"anna": 40}, {"mode": "published", "length": 300}, "has 1 usable prompts, but 3 are asked for"),
        ({"anna": 3}, {"mode": "tokens", "length": 250}, "usable prompts, but 3 are asked for"),
        ({"anna": 0}, {"mode": "tokens", "length": 250}, "has 0 usable prompts"),
        ({}, {"mode": "tokens", "length": 250}, r"not a folder with \*\.txt"),
    ],
)
def test_too_few_books_are_named(tmp_path, model, books, cut, message):
    with pytest.raises(DynatreeError, match=message):
        prepare(section(library(tmp_path, books), **cut), model, LIMITS)


# Whatever the text


@settings(deadline=None)
@given(
    texts=st.lists(st.text("abcdé\N{EN DASH}. ", min_size=120, max_size=300), min_size=6, max_size=20),
    length=st.integers(60, 200),
    kind=st.sampled_from(["wikitext", "books"]),
)
def test_cuts_are_exact_distinct_and_repeatable(tmp_path_factory, model, texts, length, kind):
    folder = tmp_path_factory.mktemp("text")
    if kind == "wikitext":
        lines = [line for number, text in enumerate(texts) for line in (f" = T{number} = ", f"{number} {text}")]
        source = parquet(folder / "w.parquet", lines)
    else:
        for name in ("one", "two"):
            (folder / f"{name}.txt").write_text("\n\n".join(f"{name} {number} {t}" for number, t in enumerate(texts)))
        source = {"kind": "books", "path": str(folder)}
    chosen = section(source, mode="tokens", length=length)
    try:
        prepared = prepare(chosen, model, LIMITS)
    except DynatreeError as error:
        if "usable prompts" not in str(error):
            raise
        return
    prompts = every_prompt(prepared)
    assert [len(prompt["tokens"]) for prompt in prompts] == [length] * 3
    assert len({prompt["text"] for prompt in prompts}) == len({prompt["id"] for prompt in prompts}) == 3
    assert all(byte_tokenizer()(prompt["text"]).input_ids == prompt["tokens"] for prompt in prompts)
    assert prepare(chosen, model, LIMITS) == prepared


# What is refused


@pytest.mark.parametrize(
    ("changes", "limits", "message"),
    [
        ({"mode": "sentences"}, {}, "unknown mode 'sentences'; choose one of published, tokens"),
        ({"mode": None}, {}, "unknown mode None"),
        ({"length": 0}, {}, "needs a length of at least 1"),
        (
            {"source": {"kind": "songs", "path": "x"}},
            {},
            "unknown kind of source 'songs'; choose one of books, file, questions, wik",
        ),
        ({"length": 901}, {}, "every prompt has 901 tokens, outside 2 to 900"),
        ({"length": 1}, {}, "every prompt has 1 tokens, outside 2 to 900"),
        ({"length": 600}, {"new_tokens": 425}, r"every prompt \(600 tokens\) and 425 more exceed the model's 1024"),
        ({"length": 800}, {}, "has 0 usable prompts, but 3 are asked for"),
        ({"length": 600}, {"tuning_new_tokens": 425}, r"'003-article-2' \(600 tokens\) and 425 more exceed"),
        ({"mode": "published", "length": 100}, {"min": 101}, "prompt 'text-1' has 100 tokens, outside 101 to 900"),
    ],
)
def test_a_wrong_section_is_named(tmp_path, model, changes, limits, message):
    chosen = section(wikitext(tmp_path, articles=3), mode="tokens", length=100) | changes
    with pytest.raises(DynatreeError, match=message):
        prepare(chosen, model, LIMITS | limits)


def test_an_impossible_length_is_found_before_the_text_is_read(model):
    chosen = section({"kind": "wikitext", "path": "nowhere.parquet"}, mode="tokens", length=1020)
    with pytest.raises(DynatreeError, match="1020 tokens, outside"):
        prepare(chosen, model, LIMITS)


def test_unreadable_data_sets_are_named(tmp_path, model):
    def refused(source: dict, message: str):
        with pytest.raises(DynatreeError, match=message):
            prepare(section(source, mode="tokens", length=100), model, LIMITS)

    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 and then nothing")
    refused({"kind": "wikitext", "path": str(damaged)}, r"cannot read .*damaged\.parquet as parquet")
    refused({"kind": "wikitext", "path": str(tmp_path / "none.parquet")}, r"cannot read .*none\.parquet")
    refused({"kind": "wikitext", "path": str(tmp_path)}, "cannot read .* as parquet")
    refused(parquet(tmp_path / "other.parquet", ["x"], column="lines"), "has no column 'text', but lines")
    refused(parquet(tmp_path / "empty.parquet", ["x", None]), r"row 2 of .*empty\.parquet has no string")
    refused({"kind": "books", "path": str(tmp_path / "none")}, r"not a folder with \*\.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    refused({"kind": "books", "path": str(tmp_path)}, r"cannot read .*latin\.txt .* plain text in UTF-8")
    hub = {"kind": "books", "repository": "some/books", "revision": "main", "split": "test"}
    refused(hub, "some/books: revision 'main' is no commit hash of 40 digits")
    refused({"kind": "books", "repository": "some/books"}, "needs a path, or revision, split on the hub")


# The hub, which no test calls


def test_the_hub_is_streamed_at_a_pinned_revision_and_read_no_further_than_needed(monkeypatch, model):
    calls, taken = [], []

    def load_dataset(*names, **options):
        calls.append((names, options))
        for number in range(100):
            taken.append(number)
            yield {"text": book(f"b{number}", 40)}

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    source = {"kind": "books", "repository": "some/books", "revision": COMMIT, "split": "test"}
    prepared = prepare(section(source, mode="tokens", length=250), model, LIMITS)
    assert calls == [(("some/books", None), {"split": "test", "revision": COMMIT, "streaming": True})]
    assert taken == [0, 1, 2]
    assert [prompt["id"] for prompt in every_prompt(prepared)] == ["row-1-1", "row-2-1", "row-3-1"]
    assert prepared["source"].startswith(f"some/books, split test, revision {COMMIT}; passages of 250 tokens")


def test_a_configuration_of_the_hub_is_passed_on(monkeypatch, model):
    lines = [line for number in range(4) for line in article(number)]
    monkeypatch.setattr(
        datasets,
        "load_dataset",
        lambda name, configuration, **_: ({"text": f"{line}"} for line in lines if configuration),
    )
    source = {
        "kind": "wikitext",
        "repository": "some/wiki",
        "configuration": "raw",
        "revision": COMMIT,
        "split": "test",
    }
    prepared = prepare(section(source, mode="tokens", length=250), model, LIMITS)
    assert prepared["source"].startswith(f"some/wiki raw, split test, revision {COMMIT}; ")


def failing(error: Exception, after: int):
    """A data set that raises ``error`` after some rows, or when it is opened."""

    def rows():
        yield from [{"text": book("b", 40)}] * after
        raise error

    def load_dataset(*_, **__):
        if not after:
            raise error
        return rows()

    return load_dataset


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("error", [ConnectionError("no route\nmore"), ValueError("no such split"), RuntimeError()])
def test_a_hub_that_fails_is_one_clear_error_and_never_other_text(monkeypatch, model, error, after):
    monkeypatch.setattr(datasets, "load_dataset", failing(error, after))
    source = {"kind": "books", "repository": "some/books", "revision": COMMIT, "split": "test"}
    with pytest.raises(
        DynatreeError, match=r"cannot read some/books.*check the network.*or let source/path name"
    ) as caught:
        prepare(section(source, mode="tokens", length=250), model, LIMITS)
    assert type(error).__name__ in str(caught.value) and "\n" not in str(caught.value)


def test_rows_of_the_hub_without_text_are_named(monkeypatch, model):
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: [{"content": "x"}])
    source = {"kind": "books", "repository": "some/books", "revision": COMMIT, "split": "test"}
    with pytest.raises(DynatreeError, match="row 1 of some/books has no string in a column 'text'"):
        prepare(section(source, mode="published", length=250), model, LIMITS)


def test_a_half_read_stream_is_released_at_once(monkeypatch, model):
    """Left to the interpreter's end, the reading threads of pyarrow abort it in up to every second run."""

    class Stream:
        def __init__(self):
            self.cycle = self  # like the streams of `datasets`, which only the collector frees

        def __iter__(self):
            return ({"text": book(f"b{number}", 40)} for number in range(100))

    streams = []

    def load_dataset(*_, **__):
        stream = Stream()
        streams.append(weakref.ref(stream))
        return stream

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    source = {"kind": "books", "repository": "some/books", "revision": COMMIT, "split": "test"}
    prepare(section(source, mode="tokens", length=250), model, LIMITS)
    assert [stream() for stream in streams] == [None]


# The script


def test_the_script_writes_prompts_or_one_line(tmp_path, model, preloaded_python):
    def call(chosen: dict):
        options = ["--source", json.dumps(chosen), "--limits", json.dumps(LIMITS)]
        command = [preloaded_python, ROOT / "scripts/prepare_prompts.py", *options, "--tokenizer", model]
        return subprocess.run([*command, "--output", tmp_path / "out.json"], cwd=ROOT, capture_output=True, text=True)

    chosen = section(wikitext(tmp_path), mode="tokens", length=300)
    failed = call(chosen | {"count": 50})
    assert failed.returncode == 2 and len(failed.stderr.splitlines()) == 1
    assert "has 6 usable prompts, but 51 are asked for" in failed.stderr
    assert not (tmp_path / "out.json").exists()
    assert call(chosen).returncode == 0
    assert read_json(tmp_path / "out.json", "") == prepare(chosen, model, LIMITS)


# Real data, where it is there


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_published_prompts_of_wikitext_are_those_of_the_original(model):
    source = {"kind": "wikitext", "path": str(DATA / "wikitext-2-raw/validation.parquet")}
    prepared = prepare(section(source, count=10, tuning=2, mode="published", length=800), model, LIMITS)
    texts = [prompt["text"] for prompt in prepared["prompts"]]
    assert texts[0].startswith("Homarus gammarus , known as the European lobster")
    assert len([text for text in texts if "gammarus" in text or "lobster" in text]) == 7
    assert texts[7].startswith("Air Vice Marshal Frank Headlam")
    assert len(texts[0]) == pytest.approx(693, abs=10)  # published, of the variant with unknown words left out
    assert [len(text) for text in texts[1:]] == [800] * 9


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_real_wikitext_gives_a_passage_of_each_article(embedded_target):
    source = {"kind": "wikitext", "path": str(DATA / "wikitext-2-raw/validation.parquet")}
    prepared = prepare(section(source, count=10, tuning=2, mode="tokens", length=256), embedded_target, LIMITS)
    prompts = every_prompt(prepared)
    assert prompts[0]["id"] == "001-homarus-gammarus" and prompts[-1]["id"] == "012-high-five-interchange"
    assert {len(prompt["tokens"]) for prompt in prompts} == {256}
    assert not [prompt for prompt in prompts if prompt["text"].startswith("=")]


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_two_real_books_give_twelve_disjoint_passages(embedded_target):
    source = {"kind": "books", "path": str(DATA / "books")}
    prepared = prepare(section(source, count=10, tuning=2, mode="tokens", length=256), embedded_target, LIMITS)
    whole = {path.stem: path.read_text() for path in (DATA / "books").glob("*.txt")}
    spans = {"alice29": [], "plrabn12": []}
    for prompt in every_prompt(prepared):
        name = prompt["id"].rpartition("-")[0]
        begin = whole[name].find(prompt["text"][:60])
        assert begin > 0.1 * len(whole[name]) * 0.9
        spans[name].append((begin, begin + len(prompt["text"])))
    assert [len(found) for found in spans.values()] == [6, 6]
    assert all(a[1] < b[0] for found in spans.values() for a, b in pairwise(found))
