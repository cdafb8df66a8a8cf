"""Prompts of a benchmark."""

import json

import pytest

from dynatree import DynatreeError
from dynatree.user_bench.prompts import default_prompts, read_prompts


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
