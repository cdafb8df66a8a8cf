"""The command line, on tiny checkpoints on disk."""

import io
import json
import os
import sys

import numpy as np
import pytest

from dynatree import generate, load_pair
from dynatree.arena.recording import RecordedOutput, Recording, write_recording
from dynatree.cli import main
from dynatree.data.random_model import byte_tokenizer


def test_the_command_streams_what_generate_returns(random_pair, capsys):
    target, draft = map(str, random_pair)
    models = ["--target", target, "--draft", draft, "--method", "dynatree"]
    common = ["generate", *models, "--max-new-tokens", "30", "--ignore-eos", "Hi there"]
    expected = generate(load_pair(target, draft), "Hi there", "dynatree", 30, eos_token_id=None)
    assert main([*common, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["tokens"] == expected.tokens
    assert printed["stats"]["accepted"] == expected.stats.accepted
    assert main(common) == 0
    streamed = capsys.readouterr().out
    assert streamed == expected.text + "\n"
    assert main([*common, "--color", "--method", "fixed_tree", "--depth", "3", "--branch", "2"]) == 0
    colored = capsys.readouterr().out
    assert "\x1b[32m" in colored
    assert colored.replace("\x1b[32m", "").replace("\x1b[0m", "") == streamed


def test_strict_output_in_bfloat16_is_that_of_plain_decoding(random_pair, capsys):
    target, draft = map(str, random_pair)
    pair = load_pair(target, draft, dtype="bfloat16")
    expected = generate(pair, "Hi there", "autoregressive", 30, eos_token_id=None).tokens
    common = ["generate", "--target", target, "--draft", draft, "--max-new-tokens", "30", "--ignore-eos", "Hi there"]
    assert main([*common, "--dtype", "bfloat16", "--exact", "strict", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "chain", "--length", "0"], "length must be a whole number"),
        (["--method", "chain", "--depth", "3"], "does not take depth"),
        (["--max-new-tokens", "5000"], "need 500"),
        (["--draft-tokens", "/nowhere.json"], "cannot read token ids"),
    ],
)
def test_mistakes_are_reported_in_one_line(random_pair, capsys, arguments, message):
    assert main(["generate", "--target", str(random_pair[0]), "--draft", str(random_pair[1]), "Hi", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith("error: ")
    assert message in captured.err


class Terminal(io.TextIOWrapper):
    """A stdout of another encoding."""

    def __init__(self, encoding: str):
        super().__init__(io.BytesIO(), encoding=encoding)


def test_characters_that_the_terminal_lacks_are_replaced(random_pair, monkeypatch):
    target, draft = map(str, random_pair)
    terminal = Terminal("ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["generate", "--target", target, "--draft", draft, "--max-new-tokens", "40", "Hi there"]) == 0
    terminal.flush()
    text = generate(load_pair(target, draft), "Hi there", max_new_tokens=40).text
    assert terminal.buffer.getvalue() == (text + "\n").encode("ascii", "replace")


def test_a_closed_pipe_ends_the_command_without_a_message(random_pair, monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["generate", "--target", str(random_pair[0]), "--method", "autoregressive", "Hi there"]) == 141
    monkeypatch.undo()
    assert "Traceback" not in capfd.readouterr().err


def test_a_chat_template_gets_one_beginning_of_sequence(random_pair, tmp_path, capsys):
    arguments = ["generate", "--target", str(random_pair[0]), "--method", "autoregressive", "--json", "--chat", "Hi"]
    assert main(arguments) == 2
    assert "has no chat template; leave out messages (--chat)" in capsys.readouterr().err
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    for name in ("config.json", "model.safetensors", "generation_config.json"):
        (tmp_path / name).symlink_to(random_pair[0] / name)
    arguments[2] = str(tmp_path)
    assert main(arguments) == 0
    prompt = [tokenizer.bos_token_id, *tokenizer("[Hi]", add_special_tokens=False).input_ids]
    expected = generate(load_pair(tmp_path), prompt, "autoregressive")
    assert json.loads(capsys.readouterr().out)["tokens"] == expected.tokens


def test_the_arena_prints_a_table_per_tree_size(tmp_path, capsys):
    rows = np.array([[5, 7], [6, 8], [5, 9], [6, 4]], np.int32)
    output = RecordedOutput("x", "", [5, 6], [5, 6, 5, 6], rows, np.zeros(rows.shape, np.float16))
    write_recording(tmp_path / "one.npz", Recording("tiny", "pairs", [output]))
    latency = "model,backend,context,new,ms\ntarget,stock,64,1,10\ntarget,stock,64,2,20\n"
    (tmp_path / "latency.csv").write_text(latency)
    command = ["arena", str(tmp_path / "one.npz"), "--nodes", "1", "2", "--drafters", "prompt_lookup"]
    assert main(command) == 0
    tables = capsys.readouterr().out.split("\n\n")
    assert tables[1].startswith("tokens per round, 2 nodes  pairs")
    assert tables[1].splitlines()[1].split()[:3] == ["Prompt", "lookup", "3.00"]
    assert main([*command, "--latency", str(tmp_path / "latency.csv")]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[-2:] == ["tokens/s", "speed-up"]
    assert main(["arena", str(tmp_path / "none.npz")]) == 2
    assert "none.npz is missing" in capsys.readouterr().err
