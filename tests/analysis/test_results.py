"""From records to summary, table, figure and paper."""

import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from synthetic import LABELS, RATES, measurement

from dynatree import DynatreeError
from dynatree.analysis.compilation import compile_latex, complaints
from dynatree.analysis.figures import main_figure
from dynatree.analysis.latex import escape
from dynatree.analysis.paper import render
from dynatree.analysis.style import save
from dynatree.analysis.summary import read_all, run_facts, summarise
from dynatree.analysis.tables import main_latex, main_table
from dynatree.benchmark.records import write_records

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = r"100% \of $x_1$ & {a} #b~^ <|>" + '"'


@pytest.fixture
def files(tmp_path) -> list[Path]:
    paths = []
    for dataset in ("encyclopaedic", "narrative"):
        meta, records = measurement(dataset)
        paths.append(tmp_path / f"{dataset}.json")
        write_records(paths[-1], meta, records)
    return paths


@pytest.fixture
def summary(files) -> pd.DataFrame:
    return pd.concat([summarise(meta, requests) for meta, requests in read_all(files)], ignore_index=True)


def test_summary_gives_the_known_numbers(summary):
    rows = summary[summary["dataset"] == "narrative"].set_index("method")
    for method, rate in RATES.items():
        row = rows.loc[method]
        assert row["speedup"] == pytest.approx(rate / 10)
        assert row["speedup_low"] == pytest.approx(rate / 10) == row["speedup_high"]
        assert row["throughput"] == pytest.approx(rate * 1.15)
        assert row["throughput_low"] < row["throughput"] < row["throughput_high"]
        assert row["tokens_per_round"] == pytest.approx(sum(20 / r for r in (10, 11, 12, 13)) / 4)
    ours = rows.loc["dynatree"]
    assert (ours["acceptance_rate"], ours["draft_precision"], ours["overhead_share"]) == pytest.approx(
        (0.4, 8 / 30, 0.05)
    )
    assert math.isnan(rows.loc["hf_assisted", "acceptance_rate"])
    assert set(summary["identical"]) == {4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta: meta.update(code="other"), "different code"),
        (lambda meta: meta["environment"].update(machine="other"), "different machines"),
        (lambda meta: meta["models"]["draft"].update(sha256="other"), "different models"),
        (lambda meta: meta["config"].update(dtype="float16"), "different number formats"),
    ],
)
def test_what_does_not_belong_together_is_refused(files, change, message):
    meta, records = measurement("narrative")
    change(meta)
    write_records(files[1], meta, records)
    with pytest.raises(DynatreeError, match=message):
        read_all(files)


def test_a_failed_comparison_is_refused(files):
    meta, records = measurement("narrative")
    records[5].divergence = 7
    write_records(files[1], meta, records)
    with pytest.raises(DynatreeError, match=f"{records[5].method} differs from the baseline on prompt 'p0'"):
        read_all(files)


def test_repetitions_count_once_by_their_median(tmp_path):
    meta, records = measurement("narrative", prompts=2)
    for record in [record for record in records if record.method == "dynatree"]:
        outlier = record.seconds | {"total": 100 * record.seconds["total"]}
        records += [replace(record, repetition=1, seconds=outlier), replace(record, repetition=2)]
    path = tmp_path / "r.json"
    write_records(path, meta, records)
    rows = summarise(*read_all([path])[0]).set_index("method")
    assert rows.loc["dynatree", "speedup"] == pytest.approx(1.4)


def test_table_shows_every_method_once_per_data_set(summary):
    table = main_table(summary)
    assert len(table) == 2 * len(LABELS)
    latex = main_latex(summary)
    for label in LABELS.values():
        assert latex.count(f"{label} &") == 2
    assert "1.40 {\\scriptsize [1.40, 1.40]}" in latex
    assert "nan" not in latex


def test_figures_repeat_to_the_byte(summary, tmp_path):
    for suffix in ("pdf", "png"):
        paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
        for path in paths:
            save(main_figure(summary), path)
        assert paths[0].read_bytes() == paths[1].read_bytes()
        assert len(paths[0].read_bytes()) > 5000


def rendered(files, summary, tmp_path, change=lambda config: None) -> str:
    import yaml

    config = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    change(config)
    facts = run_facts([meta for meta, _ in read_all(files)])
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    summary.to_csv(tmp_path / "summary.csv", index=False)
    paths = {"table": "table.tex", "figure": "figure.pdf"}
    published = ROOT / "results/published/main.csv"
    return render(config, tmp_path / "summary.csv", tmp_path / "facts.json", published, paths)


def test_paper_says_faster_only_where_the_interval_does(files, summary, tmp_path):
    fast = rendered(files, summary, tmp_path)
    assert "DynaTree is faster than autoregressive decoding" in fast
    dynatree = summary["method"] == "dynatree"
    summary.loc[dynatree, ["speedup", "speedup_low", "speedup_high"]] = (1.02, 0.9, 1.2)
    assert "it is neither faster nor slower" in rendered(files, summary, tmp_path)
    summary.loc[dynatree, ["speedup", "speedup_low", "speedup_high"]] = (0.8, 0.7, 0.9)
    slow = rendered(files, summary, tmp_path)
    assert "DynaTree is slower than autoregressive decoding on this machine" in slow
    assert "is faster than autoregressive" not in slow


def test_no_measured_number_is_typed_into_the_templates():
    """Outside of macros, the results and the abstract contain no number but 95 % intervals and references."""
    for name in ("results", "abstract"):
        text = (ROOT / f"paper/{name}.tex.j2").read_text()
        text = re.sub(
            r"\\VAR\{[^}]*\}|\\BLOCK\{[^}]*\}|^%%.*$|\\(ref|label|setlength|cite[pt]?)\{[^}]*\}(\{[^}]*\})?",
            "",
            text,
            flags=re.M,
        )
        text = text.replace(r"95\,\%", "")
        assert not re.findall(r"\d+", text), name


@pytest.mark.skipif(not shutil.which("latexmk"), reason="latexmk is missing; `make latex` installs it")
def test_paper_compiles_with_hostile_names_and_repeats_to_the_byte(files, summary, tmp_path):
    def change(config):
        config["models"]["target"]["label"] = HOSTILE
        config["methods"]["dynatree"]["label"] = HOSTILE

    summary.loc[summary["method"] == "dynatree", "label"] = "A & B_c 100%"
    pdfs = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        (folder / "dynatree.tex").write_text(rendered(files, summary, tmp_path, change))
        (folder / "table.tex").write_text(main_latex(summary))
        save(main_figure(summary), folder / "figure.pdf")
        pdfs.append(compile_latex(folder, "dynatree", ROOT / "paper/references.bib"))
    assert pdfs[0].read_bytes() == pdfs[1].read_bytes()
    if shutil.which("pdftotext"):
        text = subprocess.run(["pdftotext", pdfs[0], "-"], capture_output=True, text=True, check=True).stdout
        assert "100% {odd} CPU #1" in text
        assert "??" not in text


def test_latex_mistakes_end_the_build(tmp_path):
    if not shutil.which("latexmk"):
        pytest.skip("latexmk is missing; `make latex` installs it")
    (tmp_path / "x.tex").write_text(r"\documentclass{article}\begin{document}See \ref{nothing}.\end{document}")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/r.bib").write_text("")
    with pytest.raises(DynatreeError, match=r"Reference `nothing' .*undefined"):
        compile_latex(tmp_path, "x", tmp_path / "lib/r.bib")


def test_complaints_of_a_log():
    log = "Overfull \\hbox (12.3pt too wide) in paragraph at lines 3--4\nOverfull \\hbox (4.9pt too wide) in x\n"
    log += "LaTeX Warning: Citation `nobody' on page 1 undefined.\nMissing character: There is no x in font y!\n"
    assert len(complaints(log)) == 3
    assert complaints("nothing to see") == []


def test_escaping_keeps_no_special_character_alive():
    escaped = escape(HOSTILE + "\n\x07é漢")
    assert not re.search(r"(?<!\\)[{}^~<>|\"]", re.sub(r"\\text\w+\{\}", "", escaped))
    assert "\n" not in escaped
    assert "\x07" not in escaped
    assert not re.search(r"(?<!\\)[$&#_%]", escaped)
