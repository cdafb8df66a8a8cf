"""``dynatree bench`` on the command line."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from dynatree.cli import main
from dynatree.commands.bench import _LiveTable
from dynatree.data.checkpoints import fetch


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "target"
    fetch({"kind": "random", "architecture": "llama", "seed": 1, "layers": 1}, folder)
    return folder


def test_a_benchmark_prints_an_answer_and_others_can_check_it(target, tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text("one\ntwo\n")
    out = tmp_path / "out"
    arguments = ["bench", "--target", str(target), "--prompts", str(tmp_path / "prompts.txt"), "--output", str(out)]
    arguments += ["--methods", "hf_prompt_lookup", "--new-tokens", "4", "--device", "cpu", "--backend", "stock"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "transformers prompt lookup" in printed.out
    assert f"    generate(load_pair('{target}'), prompt, method=\"autoregressive\")" in printed.out
    assert main(arguments) == 0
    again = capsys.readouterr()
    assert again.out == printed.out, "all requests were in the journal"
    assert main(["bench", "verify", str(out)]) == 0
    assert main(["bench", "compare", str(out), str(out)]) == 0
    assert "plain decoding" in capsys.readouterr().out
    (out / "results.csv").write_text("changed")
    assert main(["bench", "verify", str(out)]) == 1
    assert "FAIL  results.csv differs from its hash" in capsys.readouterr().out


def test_prompts_and_a_workload_exclude_each_other(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--prompts", "x", "--workload", "mtbench"])
    assert "not allowed with argument --prompts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify"], "use 'dynatree bench'"),
        (["guess", "x"], "use 'dynatree bench'"),
        (["--draft", "d"], "--draft needs --target"),
        (["--target", "t", "--new-tokens", "1"], "--new-tokens is too small"),
        (["--target", "t", "--methods", "chain"], "method chain needs a draft"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, capsys, tmp_path):
    assert main(["bench", *arguments, "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_the_embedded_pair_needs_the_repository(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("dynatree.utils.paths.ROOT", tmp_path)
    assert main(["bench"]) == 2
    assert "name a model: --target" in capsys.readouterr().err


def test_the_live_table_stays_in_its_place_within_a_session(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: SimpleNamespace(columns=40))
    monkeypatch.setattr("dynatree.user_bench.results.rows_of", lambda _: [])
    live, printed = _LiveTable(), []
    for sessions in (1, 1, 2):
        measurements: Any = {"arm": SimpleNamespace(sessions=range(sessions))}
        live(measurements)
        printed.append(terminal.getvalue()[sum(map(len, printed)) :])
    first, second, third = printed
    assert second == "\x1b[2A" + first and third == first, "a further session has lines of its own below the table"
    assert first.count("\n") == 2
    assert all(len(line) <= 39 for line in first.replace("\x1b[K", "").splitlines())
