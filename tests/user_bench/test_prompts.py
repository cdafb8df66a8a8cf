"""Prompts of a benchmark."""

import json

import pytest

from dynatree import DynatreeError
from dynatree.data import questions
from dynatree.data.chat import conversation_tokens
from dynatree.data.random_model import byte_tokenizer
from dynatree.user_bench import prompts
from dynatree.user_bench.plan import WORKLOADS
from dynatree.user_bench.prompts import default_prompts, read_prompts, workload_prompts

TEMPLATE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}<assistant>"


def test_a_text_file_holds_one_prompt_a_line(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("first\n\n  second one\n")
    assert read_prompts(path) == ["first", "  second one"]


def test_json_lines_are_texts_or_objects_with_one(tmp_path):
    path = tmp_path / "prompts.jsonl"
    values = ["one\ntwo", {"prompt": "three"}, {"id": 4, "question": "five"}, {"text": "six"}]
    path.write_text("\n".join(map(json.dumps, values)))
    assert read_prompts(path) == ["one\ntwo", "three", "five", "six"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "\n\n", "holds no prompt"),
        ("a.jsonl", '"fine"\n{"x": 1}', "line 2: needs a text, or an object with one of prompt"),
        ("a.jsonl", "{", "line 1: Expecting"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DynatreeError, match=message):
        read_prompts(tmp_path / name)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(DynatreeError, match="cannot read prompts"):
        read_prompts(tmp_path / "missing")


def test_the_default_prompts_differ():
    assert len(set(default_prompts())) == len(default_prompts()) >= 6


@pytest.mark.parametrize(("name", "count"), [("humaneval", 164), ("gsm8k", 1319), ("mtbench", 80)])
def test_a_shipped_workload_is_read_from_any_folder(tmp_path, monkeypatch, name, count):
    monkeypatch.chdir(tmp_path)
    found = workload_prompts(name, byte_tokenizer())
    assert len(found) == len(set(map(tuple, found))) == count
    assert name in WORKLOADS


def test_questions_stand_in_the_chat_template_with_their_categories_in_turn():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = TEMPLATE
    shipped = questions.questions({"path": str(prompts.ROOT / prompts.SHIPPED["mtbench"])}, tokenizer)
    category = {tuple(conversation_tokens(tokenizer, one["turns"][:1])): one["category"] for one in shipped}
    found = [category[tuple(tokens)] for tokens in workload_prompts("mtbench", tokenizer)]
    assert len(set(found[:8])) == 8 and found[:8] * 10 == found
    assert str(tokenizer.decode(workload_prompts("mtbench", tokenizer)[0])).startswith("<user>")


def test_prompts_without_room_for_the_output_are_left_out(random_pair):
    target = str(random_pair[0])
    assert prompts.fitting([[1] * 9, [1] * 100_000], target, 4) == [[1] * 9]
    with pytest.raises(DynatreeError, match="no prompt and 4 new tokens fit"):
        prompts.fitting([[1] * 100_000], target, 4)


def test_spec_bench_names_the_file_that_it_cannot_fetch(tmp_path, monkeypatch):
    config = prompts.load_config(prompts.ROOT / prompts.SPEC_BENCH)
    wanted = {name: config["prompts"][name] for name in ("writing", "qa")}
    monkeypatch.setattr(prompts, "load_config", lambda _: {"prompts": wanted})
    monkeypatch.setattr(questions, "FETCHED", tmp_path)
    monkeypatch.setattr(questions, "GITHUB", "file:///nowhere")
    monkeypatch.setattr("dynatree.data.download.PAUSE", 0.0)
    with pytest.raises(DynatreeError, match=r"question.jsonl .*check the network") as caught:
        workload_prompts("specbench", byte_tokenizer())
    assert "\n" not in str(caught.value)
