"""The complete pipeline with tiny random models and labels that run commands where they are not quoted."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from dynatree.analysis.names import VERDICTS
from dynatree.config.load import load_config
from dynatree.provenance.lineage import trace
from tests.support.hostile_labels import DATASETS, LABELS, MODELS, ORIGIN, without_spaces
from tests.support.repository_copy import NEEDS_LATEX, ROOT

EXPERIMENTS = set(load_config(ROOT / "config/ci.yaml")["experiments"])

pytestmark = [NEEDS_LATEX, pytest.mark.xdist_group("finished run")]


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_one_worker_runs_the_group(request):
    assert request.node.nodeid.endswith("@finished run"), "each worker would make a finished run of its own"


def test_it_goes_through_to_the_pdf(finished):
    for name in ("paper/ci/dynatree.pdf", "results/ci/claims.csv", "results/ci/tables/claims.tex"):
        assert (finished / name).stat().st_size > 500, name
    for kind, ending in (("results/ci/tables", "csv"), ("results/ci/tables", "tex"), ("figures/ci", "png")):
        names = {path.stem for path in (finished / kind).glob(f"*.{ending}")}
        assert names >= EXPERIMENTS, f"{kind}: {EXPERIMENTS - names} is missing"
    summary = pd.read_csv(finished / "results/ci/summary/main.csv")
    assert len(summary) == 18
    assert (summary["identical"] == summary["prompts"]).all()
    trees = summary[summary["case"].isin(["fixed_tree", "dynatree"])]
    assert (trees["tokens_per_round"] > 1).all(), "the tiny draft must be right sometimes"
    assert (trees["verified_per_token"] > 1).all(), "the tiny trees must branch"


def test_no_label_runs_a_command_or_writes_elsewhere(finished):
    for folder in (finished.folder, finished.folder.parent, finished.folder.parent.parent):
        assert not list(folder.glob("pwned*"))
    assert not list(finished.folder.rglob("pwned*"))


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="pdftotext is missing; install poppler-utils")
def test_the_paper_shows_hostile_labels_literally(finished):
    command = ["pdftotext", "-raw", finished / "paper/ci/dynatree.pdf", "-"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # TeX prints a straight quotation mark as an apostrophe.
    text = without_spaces(printed.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    assert "root:x:0" not in text
    for expected in (*LABELS.values(), *DATASETS.values(), *MODELS.values(), ORIGIN):
        assert without_spaces(expected) in text, expected


def test_the_sweep_feeds_the_tuned_baselines(finished):
    tuned = json.loads((finished / "results/ci/tuned.json").read_text())
    for experiment in ("main", "length", "dtypes", "prompt_length"):
        summary = pd.read_csv(finished / f"results/ci/summary/{experiment}.csv")
        for case in ("chain", "fixed_tree"):
            for stands_for, rows in summary[summary["case"] == case].groupby("stands_for"):
                assert {json.dumps(json.loads(text)) for text in rows["options"]} == {
                    json.dumps(tuned[stands_for][case])
                }
    prompts = json.loads((finished / "results/ci/prompts/narrative.json").read_text())
    sweep = pd.read_csv(finished / "results/ci/requests/sweep.csv")
    main = pd.read_csv(finished / "results/ci/requests/main.csv")
    assert set(sweep["prompt"]).isdisjoint(main["prompt"])
    assert {prompt["id"] for prompt in prompts["tuning"]} <= set(sweep["prompt"])


def test_every_claim_gets_a_verdict_and_a_reason(finished):
    claims = yaml.safe_load((finished / "config/claims.yaml").read_text())["claims"]
    ledger = pd.read_csv(finished / "results/ci/claims.csv")
    assert ledger["id"].tolist() == [claim["id"] for claim in claims]
    assert set(ledger["verdict"]) <= set(VERDICTS) and "not testable here" in set(ledger["verdict"])
    assert ledger["reason"].str.len().min() > 20
    exact = ledger.set_index("id").loc["exact"]
    assert exact["verdict"] == "holds here"


def test_counts_are_the_same_on_every_machine(finished):
    """Compare the float32 counts of the tiny run with those of another machine."""
    keys = ["experiment", "dataset", "group", "case", "prompt"]
    counts = ["rounds", "draft_forwards", "verified", "accepted", "new_tokens"]
    expected = pd.read_csv(Path(__file__).parent / "counts.csv", dtype={"group": str})
    paths = (finished / "results/ci/requests").glob("*.csv")
    found = pd.concat([pd.read_csv(path, dtype={"group": str}) for path in paths])
    timed = found["case"].isin(["chain", "fixed_tree"]) | (found["method"] == "cost_aware")  # chosen by the clock
    other = found["engine"] == "llama_cpp"  # whose kernels depend on the machine
    found = found[(found["dtype"] == "float32") & found["rounds"].notna() & ~timed & ~other]
    found = found[[*keys, *counts]].sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected.sort_values(keys, ignore_index=True), check_dtype=False)


def test_records_say_where_they_come_from(finished):
    content = json.loads((finished / "results/ci/records/main-narrative.json").read_text())
    assert len(content["records"]) == 3 * 10
    assert {len(record["tokens"]) for record in content["records"]} == {24}
    (session,) = content["sessions"]
    assert {record["session"] for record in content["records"]} == {session}
    about = content["sessions"][session]
    assert len(about["code"]) == 16
    assert about["environment"]["threads"] == 1
    assert set(about["environment"]["versions"]) >= {"torch", "transformers", "python"}
    journal = (finished / "results/ci/journals/main-narrative.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in journal[1:]] == content["records"]


def test_the_paper_is_traced_to_every_record_and_model(finished):
    lines = [line.strip() for line in trace(finished / "paper/ci/dynatree.pdf")]
    assert not [line for line in lines if ": CHANGED" in line or ": MISSING" in line]
    records = [
        path.relative_to(finished.folder).as_posix() for path in finished.folder.glob("results/ci/records/[!.]*")
    ]
    for name in (*records, *(f"resources/models/tiny-{role}/MANIFEST.sha256" for role in ("target", "draft"))):
        assert f"{name}: unchanged" in lines
    sources = {line.partition(":")[0] for line in lines if line.endswith("a source")}
    assert {"paper/references.bib", "config/claims.yaml", "results/published/main.csv"} <= sources
    assert not [name for name in sources if name.startswith(("results/ci", "figures", "resources"))]


def test_a_number_of_the_paper_is_traced_to_its_requests(finished):
    summary = pd.read_csv(finished / "results/ci/summary/main.csv").set_index(["dataset", "case"])
    number = f"{summary.loc[('narrative', 'dynatree'), 'throughput']:.1f}"
    lines = [line.strip() for line in trace(finished / "paper/ci/dynatree.pdf", number)]
    assert "results/ci/tables/main.tex: unchanged" in lines
    raw = json.loads((finished / "results/ci/records/main-narrative.json").read_text())
    mine = [record for record in raw["records"] if record["case"] == "dynatree"]
    session, prompts = mine[0]["session"], ", ".join(record["prompt"] for record in mine)
    assert f"|   from results/ci/records/main-narrative.json, session {session}: dynatree on {prompts}" in lines


def test_a_second_run_has_nothing_to_do(finished):
    shown = finished.make("-n")
    assert "Nothing to be done" in shown
    assert "profiles/default" in shown
