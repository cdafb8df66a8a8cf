"""Snakemake in copies of the repository in which nothing has run."""

import json
import re

import pytest
import yaml

from dynatree.config.load import load_config
from dynatree.data.random_model import save_tiny_checkpoint
from tests.support.repository_copy import ROOT, Checkout, copy_repository

DATA = ROOT.parent / "shared/data"


@pytest.fixture
def fresh(tmp_path) -> Checkout:
    return Checkout(copy_repository(tmp_path / "copy"))


def configuration(checkout: Checkout, name: str = "config/ci.yaml") -> dict:
    return load_config(checkout / name)


def test_a_dry_run_works_before_anything_is_fetched_and_imports_no_torch(fresh):
    (fresh / "torch.py").write_text("raise ImportError('the workflow imported torch')\n")
    shown = fresh.make("-n", config="config/demo.yaml")
    for rule in ("fetch_model", "prepare_prompts", "measure", "judge_claims", "compile_paper"):
        assert rule in shown


def test_each_experiment_is_a_target_with_a_description(fresh):
    listed = fresh.make("--list-target-rules").splitlines()
    for experiment in configuration(fresh)["experiments"]:
        assert any(line.startswith(f"{experiment} (") for line in listed), experiment
    shown = fresh.make("-n", "pruning")
    jobs = set(re.findall(r"^ +wildcards: job=(\S+)", shown, re.MULTILINE))
    assert jobs and {job.partition("-")[0] for job in jobs} == {"pruning"}
    assert "rule compile_paper" not in shown


def test_a_wrong_configuration_is_one_line(fresh):
    config = configuration(fresh)
    config["methods"]["dynatree"]["options"]["node_bugdet"] = 3
    (fresh / "wrong.yaml").write_text(yaml.safe_dump(config))
    done = fresh.snakemake("-n", config="wrong.yaml")
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert len(errors) == 1
    assert errors[0].startswith("error: config: methods/dynatree: method 'dynatree' does not take node_bugdet")
    assert "Traceback" not in done.stderr


def test_a_missing_model_says_what_to_do(fresh):
    config = configuration(fresh)
    config["models"]["draft"] = {"name": "lost", "label": "lost", "source": {"kind": "folder", "path": "nowhere"}}
    (fresh / "lost.yaml").write_text(yaml.safe_dump(config))
    done = fresh.snakemake("resources/models/lost/MANIFEST.sha256", config="lost.yaml")
    assert done.returncode != 0
    assert "nowhere is not a checkpoint: config.json or *.safetensors is missing" in done.stdout + done.stderr


def test_a_missing_published_number_stops_the_run_before_it_measures(fresh):
    path = fresh / "results/published/main.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("PG-19,dynatree,speedup")) + "\n")
    done = fresh.snakemake("results/ci/records/main-narrative.json")
    assert done.returncode != 0
    assert "the published speedup of dynatree on PG-19 is missing; add it to" in done.stdout + done.stderr
    assert not list((fresh / "results/ci").rglob("*.jsonl"))


@pytest.mark.skipif(not DATA.exists(), reason="needs real WikiText-2 and books in ../shared/data")
def test_local_models_and_real_texts(fresh):
    config = configuration(fresh, "config/local.example.yaml")
    for role, layers in (("target", 2), ("draft", 1)):
        save_tiny_checkpoint(fresh / role, "gpt_neox", seed=1, layers=layers, noise=0.0)
        config["models"][role]["source"]["path"] = role
    config["prompts"]["wikitext"]["source"]["path"] = str(DATA / "wikitext-2-raw/validation.parquet")
    config["prompts"]["books"]["source"]["path"] = str(DATA / "books")
    config["experiments"]["sweep"] |= {"lengths": [1], "depths": [2], "branches": [2], "thresholds": [0.05]}
    (fresh / "local.yaml").write_text(yaml.safe_dump(config))
    fresh.make("results/local/tuned.json", config="local.yaml")
    for name in ("wikitext", "books"):
        prompts = json.loads((fresh / f"results/local/prompts/{name}.json").read_text())
        assert len(prompts["prompts"]) == config["prompts"][name]["count"]
        assert {len(prompt["tokens"]) for prompt in prompts["prompts"] + prompts["tuning"]} == {96}
    tuned = json.loads((fresh / "results/local/tuned.json").read_text())
    depths = {dataset: options["fixed_tree"]["depth"] for dataset, options in tuned.items()}
    assert depths == {"WikiText-2": 2, "PG-19": 2}
