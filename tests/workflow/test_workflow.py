"""The whole pipeline with tiny random models, in a copy of the repository."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from dynatree.data.random_model import save_tiny_checkpoint
from dynatree.provenance.lineage import trace
from tests.support.repository_copy import NEEDS_LATEX, ROOT, copy_repository, snakemake

DATA = ROOT.parent / "shared/data"
EXPERIMENTS = set(yaml.safe_load((ROOT / "config/ci.yaml").read_text())["experiments"])


@NEEDS_LATEX
def test_it_goes_through_to_the_pdf(finished):
    for name in ("paper/ci/dynatree.pdf", "results/ci/claims.csv", "results/ci/tables/claims.tex"):
        assert (finished / name).stat().st_size > 500, name
    for kind, ending in (("results/ci/tables", "csv"), ("results/ci/tables", "tex"), ("figures/ci", "png")):
        names = {path.stem for path in (finished / kind).glob(f"*.{ending}")}
        assert names >= EXPERIMENTS, f"{kind}: {EXPERIMENTS - names} is missing"
    summary = pd.read_csv(finished / "results/ci/summary/main.csv")
    assert len(summary) == 16
    assert (summary["identical"] == summary["prompts"]).all()
    trees = summary[summary["case"].isin(["fixed_tree", "dynatree"])]
    assert (trees["tokens_per_round"] > 1).all(), "the tiny draft must be right sometimes"
    assert (trees["verified_per_token"] > 1).all(), "the tiny trees must branch"


@NEEDS_LATEX
def test_the_sweep_feeds_the_tuned_baselines(finished):
    tuned = json.loads((finished / "results/ci/tuned.json").read_text())
    for experiment in ("main", "length", "dtypes", "prompt_length"):
        summary = pd.read_csv(finished / f"results/ci/summary/{experiment}.csv")
        for case in ("chain", "fixed_tree"):
            options = summary.loc[summary["case"] == case, "options"]
            assert {json.dumps(json.loads(text)) for text in options} == {json.dumps(tuned[case])}
    prompts = json.loads((finished / "results/ci/prompts/narrative.json").read_text())
    sweep = pd.read_csv(finished / "results/ci/requests/sweep.csv")
    main = pd.read_csv(finished / "results/ci/requests/main.csv")
    assert set(sweep["prompt"]).isdisjoint(main["prompt"])
    assert {prompt["id"] for prompt in prompts["tuning"]} <= set(sweep["prompt"])


@NEEDS_LATEX
def test_every_claim_gets_a_verdict_and_a_reason(finished):
    claims = yaml.safe_load((finished / "config/claims.yaml").read_text())["claims"]
    ledger = pd.read_csv(finished / "results/ci/claims.csv")
    assert ledger["id"].tolist() == [claim["id"] for claim in claims]
    assert set(ledger["verdict"]) <= {"confirmed", "refuted", "inconclusive"}
    assert ledger["reason"].str.len().min() > 20
    exact = ledger.set_index("id").loc["exact"]
    assert exact["verdict"] != "refuted"


@NEEDS_LATEX
def test_what_does_not_depend_on_the_machine_is_the_same_everywhere(finished):
    """The counts of the tiny run in float32, as another machine found them."""
    keys = ["experiment", "dataset", "group", "case", "prompt"]
    counts = ["rounds", "draft_forwards", "verified", "accepted", "new_tokens"]
    expected = pd.read_csv(Path(__file__).parent / "counts.csv", dtype={"group": str})
    paths = (finished / "results/ci/requests").glob("*.csv")
    found = pd.concat([pd.read_csv(path, dtype={"group": str}) for path in paths])
    timed = found["case"].isin(["chain", "fixed_tree"]) | (found["method"] == "cost_aware")  # chosen by the clock
    found = found[(found["dtype"] == "float32") & found["rounds"].notna() & ~timed]
    found = found[[*keys, *counts]].sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected.sort_values(keys, ignore_index=True), check_dtype=False)


@NEEDS_LATEX
def test_records_say_where_they_come_from(finished):
    content = json.loads((finished / "results/ci/records/main-narrative.json").read_text())
    assert len(content["records"]) == 3 * 8
    assert {len(record["tokens"]) for record in content["records"]} == {24}
    (session,) = content["sessions"]
    assert {record["session"] for record in content["records"]} == {session}
    about = content["sessions"][session]
    assert len(about["code"]) == 16
    assert about["environment"]["threads"] == 1
    assert set(about["environment"]["versions"]) >= {"torch", "transformers", "python"}
    journal = (finished / "results/ci/journals/main-narrative.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in journal[1:]] == content["records"]


@NEEDS_LATEX
def test_the_paper_is_traced_to_every_record_and_model(finished):
    lines = [line.strip() for line in trace(finished / "paper/ci/dynatree.pdf")]
    assert not [line for line in lines if ": CHANGED" in line or ": MISSING" in line]
    records = [path.relative_to(finished).as_posix() for path in finished.glob("results/ci/records/[!.]*")]
    for name in (*records, *(f"resources/models/tiny-{role}/MANIFEST.sha256" for role in ("target", "draft"))):
        assert f"{name}: unchanged" in lines
    sources = {line.partition(":")[0] for line in lines if line.endswith("a source")}
    assert {"paper/references.bib", "config/claims.yaml", "results/published/main.csv"} <= sources
    assert not [name for name in sources if name.startswith(("results/ci", "figures", "resources"))]


@NEEDS_LATEX
def test_a_number_of_the_paper_is_traced_to_its_requests(finished):
    summary = pd.read_csv(finished / "results/ci/summary/main.csv").set_index(["dataset", "case"])
    number = f"{summary.loc[('narrative', 'dynatree'), 'throughput']:.1f}"
    lines = [line.strip() for line in trace(finished / "paper/ci/dynatree.pdf", number)]
    assert "results/ci/tables/main.tex: unchanged" in lines
    raw = json.loads((finished / "results/ci/records/main-narrative.json").read_text())
    mine = [record for record in raw["records"] if record["case"] == "dynatree"]
    session, prompts = mine[0]["session"], ", ".join(record["prompt"] for record in mine)
    assert f"|   from results/ci/records/main-narrative.json, session {session}: dynatree on {prompts}" in lines


@NEEDS_LATEX
def test_a_second_run_finds_nothing_to_do(finished):
    done = snakemake(finished, "-n")
    assert "Nothing to be done" in done.stdout + done.stderr
    assert "profiles/default" in done.stdout + done.stderr


def test_a_dry_run_works_before_anything_is_fetched_and_imports_no_torch(tmp_path):
    folder = copy_repository(tmp_path)
    (folder / "torch.py").write_text("raise ImportError('the workflow imported torch')\n")
    done = snakemake(folder, "-n", config="config/demo.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    for rule in ("fetch_model", "prepare_prompts", "measure", "judge_claims", "compile_paper"):
        assert rule in done.stdout


def test_a_wrong_configuration_is_one_line(tmp_path):
    folder = copy_repository(tmp_path)
    config = yaml.safe_load((folder / "config/ci.yaml").read_text())
    config["methods"]["dynatree"]["options"]["node_bugdet"] = 3
    (folder / "wrong.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(folder, "-n", config="wrong.yaml")
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert len(errors) == 1
    assert errors[0].startswith("error: config: methods/dynatree: method 'dynatree' does not take node_bugdet")
    assert "Traceback" not in done.stderr


def test_a_missing_model_says_what_to_do(tmp_path):
    folder = copy_repository(tmp_path)
    config = yaml.safe_load((folder / "config/ci.yaml").read_text())
    config["models"]["draft"] = {"name": "lost", "label": "lost", "source": {"kind": "folder", "path": "nowhere"}}
    (folder / "lost.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(folder, "resources/models/lost/MANIFEST.sha256", config="lost.yaml")
    assert done.returncode != 0
    assert "nowhere is not a checkpoint: config.json or *.safetensors is missing" in done.stdout + done.stderr


def test_a_missing_published_number_stops_the_run_before_it_measures(tmp_path):
    folder = copy_repository(tmp_path)
    path = folder / "results/published/main.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("PG-19,dynatree,speedup")) + "\n")
    done = snakemake(folder, "results/ci/records/main-narrative.json")
    assert done.returncode != 0
    assert "the published speedup of dynatree on PG-19 is missing; add it to" in done.stdout + done.stderr
    assert not list((folder / "results/ci").rglob("*.jsonl"))


@pytest.mark.skipif(not DATA.exists(), reason="needs real WikiText-2 and books in ../shared/data")
def test_local_models_and_real_texts(tmp_path):
    folder = copy_repository(tmp_path)
    config = yaml.safe_load((folder / "config/local.example.yaml").read_text())
    for role, layers in (("target", 2), ("draft", 1)):
        save_tiny_checkpoint(folder / role, "gpt_neox", seed=1, layers=layers, noise=0.0)
        config["models"][role]["source"]["path"] = role
    config["prompts"]["wikitext"]["source"]["path"] = str(DATA / "wikitext-2-raw/validation.parquet")
    config["prompts"]["books"]["source"]["path"] = str(DATA / "books")
    config["experiments"]["sweep"] |= {"lengths": [1], "depths": [2], "branches": [2], "thresholds": [0.05]}
    (folder / "local.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(folder, "results/local/tuned.json", config="local.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("wikitext", "books"):
        prompts = json.loads((folder / f"results/local/prompts/{name}.json").read_text())
        assert len(prompts["prompts"]) == config["prompts"][name]["count"]
        assert {len(prompt["tokens"]) for prompt in prompts["prompts"] + prompts["tuning"]} == {96}
    assert json.loads((folder / "results/local/tuned.json").read_text())["fixed_tree"]["depth"] == 2
