"""The chain from a PDF back to raw records, in a small made-up run."""

import json
import shutil
from pathlib import Path

import pytest

from dynatree import DynatreeError
from dynatree.cli import main
from dynatree.provenance.lineage import trace
from dynatree.provenance.number_search import occurrences
from dynatree.utils.paths import ROOT
from tests.support.small_run import FILES, MEASUREMENT, RECORDS, REQUESTS, SUMMARY, make_small_run, note


@pytest.fixture
def run(tmp_path) -> Path:
    make_small_run(tmp_path)
    return tmp_path


def files_told(lines: list[str]) -> list[str]:
    return [line.partition(":")[0].strip() for line in lines if not line.lstrip().startswith("|")]


def test_the_chain_ends_at_records_and_models(run):
    lines = trace(run / "paper/r/x.pdf")
    table, model = "results/r/tables/main.tex", "resources/models/t/MANIFEST.sha256"
    assert files_told(lines) == ["paper/r/x.pdf", table, SUMMARY, RECORDS, model, "paper/x.bib", SUMMARY]
    assert lines[-1] == f"  {SUMMARY}: see above"
    assert "  paper/x.bib: unchanged, a source" in lines
    text = "\n".join(lines)
    assert f"\n  {table}: unchanged\n    | made by scripts/table.py, code 0123, commit abcdef012345 with uncomm" in text
    assert "    | 2026-01-02T03:04:05+00:00 on host (A CPU, threads 2)\n    | python 3.11, pandas 3\n" in text
    assert '| given job {"experiment": "main"}\n' in text
    assert "| session s1: 2 records, code c0de, commit abcdef\n" in text
    assert "|   started 2026-01-02T03:04:05+00:00 on host, 2 threads\n" in text
    assert "|   python 3.11, torch 2\n" in text
    assert "| model.safetensors 00ff\n" in text


def test_what_has_changed_or_vanished_is_said(run):
    (run / SUMMARY).write_text(FILES[SUMMARY] + "\n")
    (run / "paper/x.bib").write_text("@book{b}")
    (run / RECORDS).unlink()
    lines = [line.strip() for line in trace(run / "paper/r/x.pdf")]
    assert f"{SUMMARY}: CHANGED since it was made" in lines
    assert "paper/x.bib: CHANGED since it was used" in lines
    assert f"{RECORDS}: MISSING" in lines
    assert "paper/r/x.pdf: unchanged" in lines


def test_a_file_that_was_made_again_differs_from_what_was_used(run):
    (run / SUMMARY).write_text(FILES[SUMMARY] + "\n")
    note(run, "scripts/summarize.py", [RECORDS], [REQUESTS, SUMMARY])
    assert f"    {SUMMARY}: CHANGED since it was used" in trace(run / "paper/r/x.pdf")


def test_a_number_leads_to_its_requests(run):
    lines = trace(run / "paper/r/x.pdf", "1.20")
    assert files_told(lines) == ["paper/r/x.pdf", "results/r/tables/main.tex", SUMMARY, SUMMARY]
    text = "\n".join(lines)
    assert r"| 1.20 in line 1: Tree & 1.20 \\" in text
    assert "| 1.20 in dataset=a group=all case=tree: speedup=1.2042\n" in text
    assert f"|   from {RECORDS}, session s1: tree on p\n" in text
    assert f"|   from {RECORDS}, session s2: tree on q\n" in text
    assert f"|   request by request in {REQUESTS}" in text
    assert f"| computed here from {RECORDS}" in text
    assert "chain" not in text


@pytest.mark.parametrize(("value", "expected"), [("x7", "is no number"), ("1.21", "occurs in none of the files that")])
def test_a_number_that_is_nowhere_is_one_line(run, capsys, value, expected):
    assert main(["trace", str(run / "paper/r/x.pdf"), value]) == 2
    assert expected in capsys.readouterr().err


def test_a_file_without_a_note_and_a_moved_one(run, capsys):
    assert main(["trace", str(run / "paper/x.bib")]) == 2
    assert "was made outside the pipeline or before the pipeline left notes" in capsys.readouterr().err
    (run / "paper/r").rename(run / "paper/s")
    with pytest.raises(DynatreeError, match=r"has been moved: its note names paper/r/x\.pdf"):
        trace(run / "paper/s/x.pdf")


def test_the_command_prints_the_chain_from_any_folder(run, capsys, monkeypatch):
    monkeypatch.chdir(run / "paper")
    assert main(["trace", "r/x.pdf"]) == 0
    assert capsys.readouterr().out.splitlines() == trace(run / "paper/r/x.pdf")
    assert main(["trace", str(run / "resources/models/t")]) == 0
    assert "given source" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text", "value", "count"),
    [
        ("a.tex", "is 1.20.", "1.20", 1),
        ("a.tex", "11.20 1.205 1.20.3", "1.20", 0),
        ("a.tex", "$-$0.08", "-0.08", 1),
        ("a.csv", "case,x\nd,1.2042\nd,1.1951\nd,1.2051\nd,1.1949\n", "1.20", 2),
        ("a.csv", "case,x\nd,0.925\n", "0.93", 1),
        ("a.csv", "id,reason\nd,the ratio is 1.20 here\n", "1.20", 1),
        ("a.csv", "case,prompt\n3,3\n", "3", 0),
        ("a.json", "[1.20]", "1.20", 0),
    ],
)
def test_where_a_number_occurs(tmp_path, name, text, value, count):
    (tmp_path / name).write_text(text)
    assert len(occurrences(tmp_path / name, value)) == count


def test_a_verdict_leads_to_the_requests_that_its_claim_compares(run):
    shutil.copy(ROOT / "config/claims.yaml", run / "config/claims.yaml")
    (run / "results/r/claims.csv").write_text(
        "id,value,verdict\nfaster-than-autoregressive-wikitext,1.3333,confirmed\nmemory,1.33,refuted\n"
    )
    rows = [f"main-a,{text},all,{case}" for text in ("WikiText-2", "PG-19") for case in ("autoregressive", "dynatree")]
    (run / REQUESTS).write_text("\n".join(["job,stands_for,group,case", *rows, "main-a,WikiText-2,all,linear"]))
    cases = ("dynatree", "autoregressive", "chain")
    records = [{"session": "s1", "group": "all", "case": case, "prompt": "p"} for case in cases]
    (run / RECORDS).write_text(json.dumps(MEASUREMENT | {"records": records}))
    note(run, "scripts/summarize.py", [RECORDS], [REQUESTS, SUMMARY])
    note(run, "scripts/judge.py", [REQUESTS], ["results/r/claims.csv"], claims="config/claims.yaml")
    lines = [line.strip() for line in trace(run / "results/r/claims.csv", "1.33")]
    behind = [line for line in lines if line.startswith("|   from")]
    assert behind == [f"|   from {RECORDS}, session s1: {case} on p" for case in ("dynatree", "autoregressive")]
    assert "| 1.33 in id=memory: value=1.33" in lines
