"""The command line, on tiny checkpoints on disk."""

import json

import pytest

from dynatree import generate, load_pair
from dynatree.cli import main


def test_the_command_streams_what_generate_returns(random_pair, capsys):
    target, draft = map(str, random_pair)
    common = ["generate", "--target", target, "--draft", draft, "--max-new-tokens", "30", "--ignore-eos", "Hi there"]
    expected = generate(load_pair(target, draft), "Hi there", max_new_tokens=30, eos_token_id=None)
    assert main([*common, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["tokens"] == expected.tokens
    assert printed["stats"]["accepted"] == expected.stats.accepted
    assert main(common) == 0
    streamed = capsys.readouterr().out
    assert streamed.rstrip("\n").rstrip("\ufffd") == expected.text.rstrip("\n").rstrip("\ufffd")
    assert main([*common, "--color", "--method", "fixed_tree", "--depth", "3", "--branch", "2"]) == 0
    colored = capsys.readouterr().out
    assert "\x1b[32m" in colored
    assert colored.replace("\x1b[32m", "").replace("\x1b[0m", "") == streamed


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
