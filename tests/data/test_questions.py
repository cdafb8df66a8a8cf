"""Files of questions, shipped ones and fetched ones."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from dynatree.config.load import load_config
from dynatree.data import download, questions
from dynatree.data.chat import conversation_tokens
from dynatree.data.prompts import prepare
from dynatree.data.random_model import byte_tokenizer
from dynatree.errors import DynatreeError

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = ROOT / "config/prompts"
LIMITS = {"min": 1, "max": 4000, "new_tokens": 8, "tuning_new_tokens": 8}
MESSAGES = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"
TEMPLATE = MESSAGES + "{% if add_generation_prompt %}<assistant>{% endif %}"
LINES = [
    {"question_id": 1, "category": "one", "turns": ["First?", "And then?"]},
    {"question_id": 2, "category": "two", "turns": ["Second?"]},
    {"question_id": 3, "category": "one", "turns": ["Third?"]},
]


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "question.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)) + "\n")
    return path


def test_the_first_turn_is_plain_without_a_template(file):
    tokenizer = byte_tokenizer()
    found = questions.questions({"path": str(file)}, tokenizer)
    assert [one["id"] for one in found] == ["1", "2", "3"]
    assert found[0]["tokens"] == tokenizer("First?").input_ids
    assert found[0]["turns"] == ["First?", "And then?"] and found[0]["category"] == "one"


def test_a_conversation_is_put_into_the_template():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokens = conversation_tokens(tokenizer, ["First?", "Yes.", "And then?"])
    assert tokenizer.decode(tokens) == "<user>First?<assistant>Yes.<user>And then?<assistant>"


def test_categories_are_chosen_and_unknown_ones_named(file):
    source = {"path": str(file), "categories": ["one"]}
    assert [one["id"] for one in questions.questions(source, byte_tokenizer())] == ["1", "3"]
    with pytest.raises(DynatreeError, match="has no question of category 'three'"):
        questions.questions(source | {"categories": ["one", "three"]}, byte_tokenizer())


def test_the_first_questions_are_of_all_categories(tmp_path):
    path = tmp_path / "question.jsonl"
    path.write_text("\n".join(json.dumps(LINES[index]) for index in (0, 2, 1)))
    assert [one["id"] for one in questions.questions({"path": str(path)}, byte_tokenizer())] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read questions"),
        ('{"question_id": 1}', "cannot read questions"),
        (json.dumps(LINES[1] | {"turns": [" "]}), "needs question_id"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, message):
    (tmp_path / "q.jsonl").write_text(content)
    with pytest.raises(DynatreeError, match=message):
        questions.questions({"path": str(tmp_path / "q.jsonl")}, byte_tokenizer())


def fetched(file: Path, digest: str) -> dict:
    return {"repository": "some/repository", "revision": "0" * 40, "file": file.name, "sha256": digest}


def test_a_file_is_fetched_by_commit_and_hash(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(questions, "GITHUB", file.parent.as_uri())
    place = tmp_path / "some/repository" / ("0" * 40)
    place.mkdir(parents=True)
    file.rename(place / file.name)
    source = fetched(file, hashlib.sha256((place / file.name).read_bytes()).hexdigest())
    assert len(questions.questions(source, byte_tokenizer())) == 3
    (place / file.name).unlink()
    assert len(questions.questions(source, byte_tokenizer())) == 3, "kept after the first fetch"


def test_a_fetch_without_a_network_is_one_line_with_a_remedy(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(questions, "GITHUB", "file:///nowhere")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    with pytest.raises(DynatreeError, match=r"check the network .*; or let source/path name a local copy") as caught:
        questions.questions(fetched(file, "0" * 64), byte_tokenizer())
    assert "\n" not in str(caught.value)


def test_shipped_files_have_the_hashes_that_the_table_names():
    table = (PROMPTS / "README.md").read_text()
    for path in PROMPTS.glob("*.jsonl"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert re.search(rf"\| `{re.escape(path.name)}` \|.*\| `{digest}` \|", table), path.name
    assert sum(path.stat().st_size for path in PROMPTS.glob("*.jsonl")) < 1_000_000


@pytest.mark.parametrize(
    ("name", "count", "turns"),
    [
        ("mtbench", 80, 2),
        ("specbench_gsm8k", 80, 1),
        ("gsm8k_test", 1319, 1),
        ("humaneval", 164, 1),
        ("edits", 8, 1),
        ("agent", 4, 3),
    ],
)
def test_shipped_questions_are_complete(name, count, turns):
    found = questions.questions({"path": str(PROMPTS / f"{name}.jsonl")}, byte_tokenizer())
    assert len(found) == len({one["id"] for one in found}) == count
    assert {len(one["turns"]) for one in found} == {turns}


def test_a_prepared_data_set_measures_the_first_questions_and_tunes_on_the_last(random_pair):
    settings = {"name": "writing", "stands_for": "Spec-Bench", "count": 5, "tuning": 1}
    source = {"kind": "questions", "path": str(PROMPTS / "mtbench.jsonl"), "categories": ["writing"]}
    prepared = prepare(settings | {"source": source}, random_pair[0], LIMITS)
    assert [one["id"] for one in prepared["prompts"]] == ["81", "82", "83", "84", "85"]
    assert [one["id"] for one in prepared["tuning"]] == ["90"]
    tokenizer = AutoTokenizer.from_pretrained(random_pair[0])
    assert prepared["prompts"][0]["tokens"] == conversation_tokens(tokenizer, prepared["prompts"][0]["turns"][:1])


def test_the_configuration_of_spec_bench_has_its_categories():
    config = load_config(ROOT / "config/specbench.yaml")
    assert len(config["prompts"]) == 13
    for experiment in ("main", "peers"):
        assert config["experiments"][experiment]["datasets"] == list(config["prompts"])
    assert config["arena"]["datasets"] == list(config["prompts"])
    assert all(one["count"] >= 5 for one in config["prompts"].values())
