"""``dynatree chat``."""

import io

import pytest

from dynatree import generate, load_pair
from dynatree.cli import main
from dynatree.data.checkpoints import fetch
from dynatree.data.random_model import byte_tokenizer
from dynatree.decoding import engine

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat") / "target"
    fetch({"kind": "random", "architecture": "llama", "seed": 1, "layers": 1}, folder)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def chat(monkeypatch, capsys, target, lines, *more):
    """Return what the command prints for the lines of an input."""
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
    arguments = ["--target", str(target), "--method", "autoregressive", "--max-new-tokens", "6", "--no-color"]
    assert main(["chat", *arguments, *more]) == 0
    return capsys.readouterr()


def test_each_turn_continues_the_conversation(monkeypatch, capsys, target):
    printed = chat(monkeypatch, capsys, target, ["Hi", "", "More", "/quit", "unread"], "--system", "Be brief.")
    pair, messages = load_pair(target), [{"role": "system", "content": "Be brief."}]
    expected = ""
    for text in ("Hi", "More"):
        messages.append({"role": "user", "content": text})
        out = generate(pair, method="autoregressive", max_new_tokens=6, messages=messages)
        messages.append({"role": "assistant", "content": out.text})
        expected += out.text + "\n"
    assert printed.out == expected
    assert printed.err.count("tokens per second") == 2


def test_a_turn_reads_only_what_the_conversation_has_added(monkeypatch, capsys, target):
    first = []
    decode = engine.decode

    def recorded(*arguments):
        out = decode(*arguments)
        first.append(out.stats.passes["target"][0])
        return out

    monkeypatch.setattr(engine, "decode", recorded)
    chat(monkeypatch, capsys, target, ["Hi", "More", "/reset", "Hi"])
    first_turn = len("user: Hi\n")
    assert first[0] == (first_turn, 0)
    assert first[1][1] == first_turn, "the template writes a name before the answer, which was not read"
    assert first[2] == (1, first_turn - 1)


def test_a_reset_forgets_and_an_error_leaves_no_trace(monkeypatch, capsys, target):
    twice = chat(monkeypatch, capsys, target, ["Hi", "/reset", "Hi"]).out
    first, second = twice[: len(twice) // 2], twice[len(twice) // 2 :]
    assert first == second
    long = chat(monkeypatch, capsys, target, ["x" * 5000, "Hi"])
    assert "error: the prompt (" in long.err
    assert long.out == first


def test_a_system_message_belongs_to_a_conversation(capsys, target):
    assert main(["generate", "--target", str(target), "--method", "autoregressive", "--system", "x", "Hi"]) == 2
    assert "add --chat" in capsys.readouterr().err
