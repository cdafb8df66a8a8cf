"""The whole paper from made-up measurements: every table, every figure, no model."""

import itertools
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from dynatree import DynatreeError
from dynatree.analysis.claims import claims_latex, describe_run, judge
from dynatree.analysis.compression_summary import compression_requests
from dynatree.analysis.constants import constants
from dynatree.analysis.figures.style import save
from dynatree.analysis.latex import escape
from dynatree.analysis.latexmk import compile_latex, complaints
from dynatree.analysis.memory_summary import summarize_memory
from dynatree.analysis.oracle_bound import bounds
from dynatree.analysis.paper import by_name, decision, options, render, sweep_edge
from dynatree.analysis.published import load_claims, load_margins
from dynatree.analysis.shapes import shape_ledger
from dynatree.analysis.summary import per_request, run_facts, summarize
from dynatree.analysis.work import latencies
from dynatree.config.plan import Plan
from dynatree.policies import cost_aware
from tests.support.arena_frames import arena_frame, shapes_frame
from tests.support.compression_frames import compression_frames, compression_measured
from tests.support.frames import head_content, head_frame
from tests.support.synthetic import TUNED, configuration, measurement

pytestmark = pytest.mark.xdist_group("paper")
ROOT = Path(__file__).resolve().parents[2]
HOSTILE = r"100% \of $x_1$ & {a} #b~^ <|>" + '"'
NEEDS_LATEX = pytest.mark.skipif(not shutil.which("latexmk"), reason="latexmk is missing; `make latex` installs it")
TREE = {
    "prompt": "p0",
    "root": " the",
    "tokens": [" the", " $a_b", "\n", " cat"],
    "parents": [-1, 0, 0, 1],
    "depths": [0, 1, 1, 2],
    "path_probabilities": [1.0, 0.6, 0.2, 0.5],
    "accepted": [1],
    "bonus": " dog",
    "new_position": 3,
}


def memory_frame(config: dict) -> pd.DataFrame:
    parts = {
        "weights_target_mib": 500.0,
        "weights_draft_mib": 50.0,
        "cache_target_mib": 3.0,
        "cache_draft_mib": 1.0,
        "logits_mib": 2.0,
        "other_mib": 0.5,
    }
    memory = config["experiments"]["memory"]
    rows = []
    for case in memory["methods"]:
        own = parts | ({"weights_draft_mib": 0.0, "cache_draft_mib": 0.0} if case == "autoregressive" else {})
        names = {"dataset": "encyclopaedic", "stands_for": "WikiText-2"}
        names |= {"case": case, "prompt": "p0", "new_tokens": 12}
        rows.append(names | own | {"peak_mib": sum(own.values()), "largest_logits_mib": 2.0, "how": "live tensors"})
    return summarize_memory(pd.DataFrame(rows))


def latency_frame() -> pd.DataFrame:
    names = itertools.product(("target", "draft"), ("stock", "small_batch"), (64, 256), (1, 2, 4, 8))
    rows = [dict(zip(("model", "backend", "context", "new"), values, strict=True)) for values in names]
    frame = pd.DataFrame(rows)
    milliseconds = 10 + frame["new"] + frame["context"] / 100
    return frame.assign(ms=milliseconds, gb_per_s=250 / milliseconds, machine_gb_per_s=31.5)


def write_bounds(folder: Path, measurements: list) -> None:
    peers = [one for one in measurements if one.job.experiment == "peers"]
    (folder / "bounds").mkdir()
    bounds(peers, latencies(latency_frame())).to_csv(folder / "bounds/peers.csv", index=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A folder like results/RUN, from synthetic measurements of all experiments."""
    folder = tmp_path_factory.mktemp("results")
    config = configuration()
    requests, summaries, measurements = {}, {}, []
    for name, job in Plan.from_config(config).jobs.items():
        measurements.append(measurement(name, prompts=6, config=config))
        rows = per_request(name, measurements[-1], latencies(latency_frame()))
        requests.setdefault(job.experiment, []).append(rows)
        summaries.setdefault(job.experiment, []).append(summarize(measurements[-1].job, rows))
    for kind, frames in (("requests", requests), ("summary", summaries)):
        (folder / kind).mkdir()
        for experiment, parts in frames.items():
            pd.concat(parts).to_csv(folder / kind / f"{experiment}.csv", index=False)
    memory_frame(config).to_csv(folder / "summary/memory.csv", index=False)
    (folder / "summary/facts.json").write_text(json.dumps(run_facts(measurements)))
    (folder / "tuned.json").write_text(json.dumps(dict.fromkeys(("WikiText-2", "PG-19"), TUNED)))
    (folder / "tree.json").write_text(json.dumps(TREE))
    latency_frame().to_csv(folder / "latency.csv", index=False)
    write_bounds(folder, measurements)
    (folder / "arena").mkdir()
    arena_frame().to_csv(folder / "arena/replay.csv", index=False)
    shapes_frame().to_csv(folder / "arena/shapes.csv", index=False)
    (folder / "heads.json").write_text(json.dumps(head_content()))
    head_frame().to_csv(folder / "heads.csv", index=False)
    compressed = compression_measured(config)
    compression_requests([compressed]).to_csv(folder / "requests/compression.csv", index=False)
    for name, frame in compression_frames(compressed).items():
        frame.to_csv(folder / f"summary/{name}.csv", index=False)
    frames = {path.stem: pd.read_csv(path) for path in (folder / "requests").glob("*.csv")}
    claims = ROOT / "config/claims.yaml"
    memory, run = {"memory": memory_frame(config)}, describe_run(config)
    ledger = judge(load_claims(claims), frames, memory, run, load_margins(claims))
    ledger.to_csv(folder / "claims.csv", index=False)
    labels = {name: prompts["label"] for name, prompts in config["prompts"].items()}
    shape_ledger(shapes_frame(), labels, load_margins(claims)).to_csv(folder / "shape_claims.csv", index=False)
    for kind in ("tables", "figures"):
        (folder / kind).mkdir()
    (folder / "tables/claims.tex").write_text(claims_latex(ledger))
    return folder


def rendered(folder: Path, home: Path, config: dict | None = None) -> str:
    paths = [path for path in folder.rglob("*") if path.suffix in (".csv", ".json")]
    files = by_name(paths, folder) | by_name(list((ROOT / "results/published").glob("*.csv")), ROOT / "results/ci")
    folders = {"tables": folder / "tables", "figures": folder / "figures"}
    return render(config or configuration(), files, folders, home, ROOT / "config/claims.yaml")[0]


@pytest.fixture(scope="module")
def text(results, tmp_path_factory) -> str:
    """The paper of the unchanged results."""
    return rendered(results, tmp_path_factory.mktemp("text"))


def change_speed(folder: Path, home: Path, factor: float) -> Path:
    """A copy of the results in which DynaTree's requests of the main comparison took longer or shorter."""
    copy = home / "changed"
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    requests = pd.read_csv(copy / "requests/main.csv")
    chosen = requests["case"] == "dynatree"
    requests.loc[chosen, "throughput"] *= factor
    requests.to_csv(copy / "requests/main.csv", index=False)
    summary = pd.read_csv(copy / "summary/main.csv")
    names = ["speedup", "speedup_low", "speedup_high"]
    summary.loc[summary["case"] == "dynatree", names] *= factor
    summary.to_csv(copy / "summary/main.csv", index=False)
    return copy


def test_sentences_follow_the_outcome(results, tmp_path):
    def sentence(factor: float) -> str:
        text = " ".join(rendered(change_speed(results, tmp_path, factor), tmp_path).split())
        return text.partition("Relative to the tuned fixed tree its speed is ")[2].partition(". Relative")[0]

    faster = sentence(2)
    assert faster.startswith("2.15 [2.15, 2.15]")
    assert "not separated from one (corrected $p$ = " in faster, "six articles are too few for so many comparisons"


def test_the_paper_reports_exactness_by_format(text):
    same, everything = re.search(r"In float32, (\d+) of (\d+) outputs of speculative methods", text).groups()
    assert same == everything
    assert "is 0.030 logits" in text


def test_the_paper_lists_every_constant_of_the_cost_aware_policy(text):
    for name, values in constants().items():
        assert values, name
        for constant, value in values.items():
            assert options({constant: value}) in text
    assert constants()["policies/cost_aware"]["RATE_DECAY"] == cost_aware.RATE_DECAY


def test_a_difference_needs_the_same_sign_in_time_and_work():
    def found(throughput: float, work: float, p: float) -> str:
        return decision(SimpleNamespace(throughput=throughput, work=work, p=p))

    assert found(1.2, 1.1, 0.01) == "faster (corrected $p$ = 0.010)"
    assert found(0.8, 0.9, 0.01) == "slower (corrected $p$ = 0.010)"
    assert "noise or overhead" in found(1.2, 0.9, 0.01)
    assert found(1.2, 1.1, 0.2) == "not separated from one (corrected $p$ = 0.200)"
    assert "unknown" in found(1.2, float("nan"), 0.01)
    assert found(float("nan"), 1.1, 0.01) == "not measured"


def test_the_paper_says_once_that_no_gpu_was_used(text):
    assert text.count("has not run on a GPU") == 1 and "gpu-proof" not in text


def test_the_edge_of_the_sweep_is_named():
    grid = {"lengths": [1, 2, 3], "depths": [2, 3, 4], "branches": [2, 3, 4], "thresholds": [0.1, 0.2, 0.3]}
    inside = {"chain": {"length": 2}, "fixed_tree": {"depth": 3, "branch": 3, "prune_probability": 0.2}}
    assert sweep_edge({"PG-19": inside}, grid) == "All of them lie inside the grid."
    assert "length 1 on PG-19" in sweep_edge({"PG-19": inside | {"chain": {"length": 1}}}, grid)


def test_the_originals_heads_are_shown_only_beside_those_of_its_model(results, text, tmp_path):
    assert "the original reports" not in text.partition("Attention-head analysis")[2]
    config = configuration()
    config["models"]["target"]["source"] = {"kind": "hub", "repository": "EleutherAI/pythia-2.8b"}
    published = " ".join(rendered(results, tmp_path, config).split())
    assert "the original reports 1024 heads: 813 whose attention goes to sinks (this run: 6), 9 local (6)" in published


def test_no_measured_number_is_typed_into_the_templates():
    """Outside of macros, templates with outcomes contain no number but 95 % intervals and formats."""
    for name in (
        "abstract",
        "results",
        "ablation",
        "settings",
        "scaling",
        "cost_aware",
        "headroom",
        "heads",
        "compression",
        "draft_cache",
        "claims",
        "gpu",
        "limits",
    ):
        template = (ROOT / f"paper/{name}.tex.j2").read_text()
        template = re.sub(r"\\VAR\{[^}]*\}|\\BLOCK\{[^}]*\}|^%%.*$", "", template, flags=re.M)
        template = re.sub(
            r"\\(ref|label|cite[pt]?|begin|includegraphics)(\[[^]]*\])?\{[^}]*\}(\{[^}]*\})?", "", template
        )
        template = re.sub(r"\$[^$]*\$|95\\,\\%|float32|int8|4-grams|H2O|PG-19", "", template)
        assert not re.findall(r"\d+", template), name


def test_an_unknown_name_in_a_template_is_named(results, tmp_path):
    (results / "tuned.json").write_text(json.dumps({"PG-19": {"chain": {"length": 2}}}))
    try:
        with pytest.raises(DynatreeError, match=r"the paper's templates do not fit the results: .*tree"):
            rendered(results, tmp_path)
    finally:
        (results / "tuned.json").write_text(json.dumps(dict.fromkeys(("WikiText-2", "PG-19"), TUNED)))


def test_names_of_the_machine_are_escaped(text):
    assert escape("100% {odd} CPU #1") in text


@NEEDS_LATEX
def test_typesetting_repeats_to_the_byte(text, tmp_path):
    """A short text with everything that might vary: the paper's packages, a figure, a citation and a reference."""
    drawn, _ = plt.subplots()
    save(drawn, tmp_path / "f.pdf")
    preamble = text.partition(r"\begin{document}")[0]
    body = r"\section{A}\label{a}See \ref{a} and \cite{leviathan2023}.\includegraphics[width=5cm]{../f}"
    source = (
        preamble + r"\begin{document}" + body + r"\bibliographystyle{plainnat}\bibliography{references}\end{document}"
    )
    pdfs = []
    for home in (tmp_path / "a", tmp_path / "b"):
        home.mkdir()
        (home / "x.tex").write_text(source)
        pdfs.append(compile_latex(home, "x", ROOT / "paper/references.bib"))
    assert pdfs[0].read_bytes() == pdfs[1].read_bytes()


@NEEDS_LATEX
def test_latex_mistakes_end_the_build(tmp_path):
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
