"""The lineage of a number in the text of the paper, in a small made-up run."""

from pathlib import Path

import pytest

from dynatree import DynatreeError
from dynatree.cli import main
from dynatree.provenance.printed import trace_printed
from tests.support.small_run import RECORDS, SUMMARY, make_small_run

NUMBERS = """\
id,printed,expression,sources
results.2,"1.20 [1.10, 1.30]","tree|interval(""speedup"", 2)",summary/main.csv tables
results.3,64,config.new_tokens,
results.4,5.6,logged.main,../published
"""


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    make_small_run(tmp_path)
    (tmp_path / "paper/r/numbers.csv").write_text(NUMBERS)
    (tmp_path / "results/published").mkdir()
    (tmp_path / "results/published/main.csv").write_text("value\n5.6\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_number_leads_to_its_records(run):
    first, *lines = trace_printed("r", "results.2")
    assert first == 'results.2: 1.20 [1.10, 1.30], printed by tree|interval("speedup", 2) in paper/results.tex.j2'
    assert lines[0] == f"{SUMMARY}: unchanged"
    assert any(f"from {RECORDS}, session s1: tree on p" in line for line in lines)


def test_settings_and_published_numbers_are_sources(run):
    assert trace_printed("r", "results.3")[1:] == ["  a setting or a constant"]
    assert trace_printed("r", "results.4")[1:] == ["results/published/main.csv: a source"]


def test_mistakes_name_the_choices(run, capsys):
    with pytest.raises(DynatreeError, match=r"numbers\.csv is missing; name a run with a finished paper"):
        trace_printed("other", "results.2")
    assert main(["trace", "--number", "results.9", "--run", "r"]) == 2
    assert "prints no number 'results.9'; paper/r/numbers.csv lists them, such as results.2" in capsys.readouterr().err
